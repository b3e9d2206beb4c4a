// @ts-check
import { html } from './html.js'
import { button, count, noun } from './parts.js'

/** @typedef {import('../overview.js').Overview['pages'][number]} Page */

/** @param {Page[]} pages */
export function pagesCard (pages) {
  return html`
    <section class="card" aria-labelledby="pages-title">
      <h2 id="pages-title">Pages</h2>
      <ul class="list">${pages.map(pageItem)}</ul>
    </section>`
}

/** @param {Page} page */
function pageItem (page) {
  return html`
    <li id="page-${page.id}">
      <div class="head">
        <h3>${page.title}</h3>
        ${!page.published && button(`/pages/${page.id}/publish`, 'Publish', page.title, 'main')}
      </div>
      <p class="quiet">${page.body}</p>
      ${page.published && progress(page)}
    </li>`
}

/** @param {Page} page */
function progress ({ id, title, mails }) {
  const parts = [
    { name: 'sent', label: 'sent', value: mails.sent },
    { name: 'failed', label: 'failed', value: mails.failed },
    { name: 'cancelled', label: 'cancelled', value: mails.cancelled },
    { name: 'running', label: 'being sent', value: mails.running },
    { name: 'ready', label: 'waiting', value: mails.waiting }
  ].filter(({ value }) => value > 0)
  const words = parts.map(({ label, value }) => `${count(value)} ${label}`).join(', ')
  return html`
    ${bar(parts, mails.total, `Mails: ${words}`)}
    <div class="head">
      <p class="counts">${parts.map(({ name, label, value }) => html`<span class="dot ${name}"></span>${count(value)} ${label} `)}
        <span class="quiet">of ${count(mails.total)}</span></p>
      <div class="buttons">
        ${mails.waiting + mails.running > 0 && button(`/pages/${id}/cancel`, 'Cancel the rest', `of ${title}`)}
        ${mails.failed + mails.cancelled > 0 && button(`/pages/${id}/retry`, 'Retry', `the failed and cancelled mails of ${title}`, 'main')}
      </div>
    </div>
    ${mails.failures.length > 0 && failures(mails)}`
}

/**
 * An SVG, because the site's content security policy has no place for inline styles.
 *
 * @param {Array<{ name: string, value: number }>} parts
 * @param {number} total
 * @param {string} label
 */
function bar (parts, total, label) {
  let x = 0
  const shapes = parts.map(({ name, value }) => {
    const width = value / total * 100
    const shape = html`<rect class="${name}" x="${x}" width="${width}" height="4"/>`
    x += width
    return shape
  })
  return html`<svg class="bar" role="img" aria-label="${label}" viewBox="0 0 100 4" preserveAspectRatio="none">${shapes}</svg>`
}

/** @param {Page['mails']} mails */
function failures ({ failures, failed }) {
  return html`
    <ul class="failures">${failures.map((work) => html`<li><strong>${noun(work)}</strong> failed after ${work.attempts} ${work.attempts === 1 ? 'attempt' : 'attempts'}: ${work.error}</li>`)}
    ${failed > failures.length && html`<li>and ${count(failed - failures.length)} more</li>`}</ul>`
}
