// @ts-check
import { html } from './html.js'

const NAMES = new Map([
  ['pages.mail', (/** @type {readonly unknown[]} */ [page, subscriber]) => `Mail page ${page} to subscriber ${subscriber}`],
  ['customers.score', (/** @type {readonly unknown[]} */ [customer]) => `Score of customer ${customer}`],
  ['notes.copy', (/** @type {readonly unknown[]} */ [note]) => `Copy of note ${note}`]
])

/**
 * What a piece of work is, in words.
 *
 * @param {import('../overview.js').Work} work
 */
export function noun (work) {
  return NAMES.get(work.task)?.(work.args) ?? work.task
}

/** @param {import('../overview.js').Work} work */
export function statusBadge ({ status, attempts, runAfter }) {
  const late = status === 'READY' && runAfter !== null && runAfter.getTime() > Date.now()
  const text = late ? 'LATER' : status === 'READY' && attempts > 0 ? 'WILL RETRY' : status
  return html`<span class="status ${late ? 'later' : status.toLowerCase()}">${text}</span>`
}

/**
 * A button that works with and without the script. Its id is its address, by which the script finds it again.
 *
 * @param {string} action
 * @param {string} label
 * @param {string} about what it is about, for those who hear the button and do not see where it stands
 * @param {'plain' | 'main'} [kind]
 */
export function button (action, label, about, kind = 'plain') {
  return html`<form method="post" action="${action}"><button id="do${action.replaceAll('/', '-')}" class="${kind}">${label}<span class="hidden"> ${about}</span></button></form>`
}

/** @param {number} value */
export function count (value) {
  return value.toLocaleString('en')
}
