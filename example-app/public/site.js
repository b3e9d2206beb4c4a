// @ts-check
// Keeps the live part of the page up to date and sends forms without leaving it. Without this script the page works
// too: forms lead back to it, and it reloads by itself.

const BUSY_MS = 500 // between two looks while work is under way
const IDLE_MS = 2000 // and while there is none
const SAID_MS = 8000 // for which a good message stays

const live = /** @type {HTMLElement} */ (document.getElementById('live'))
const said = /** @type {HTMLElement} */ (document.getElementById('said'))
let shown = ''
let lost = false
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer
/** @type {ReturnType<typeof setTimeout> | undefined} */
let silence
/** Looks are numbered, so that a late answer does not overwrite a newer one. */
let looks = 0

document.addEventListener('submit', (event) => {
  event.preventDefault()
  void send(/** @type {HTMLFormElement} */ (event.target))
})

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void look()
})

void look()

async function look () {
  clearTimeout(timer)
  const number = ++looks
  try {
    const response = await fetch('/live', { headers: { accept: 'text/html' }, signal: AbortSignal.timeout(10_000) })
    if (!response.ok) throw new Error(`HTTP ${response.status}`)
    const text = await response.text()
    if (number !== looks) return
    show(text)
    if (lost) say('')
    lost = false
  } catch {
    if (number !== looks) return
    lost = true
    say('The site does not answer. What you see may be out of date.', true)
  }
  if (document.hidden) return
  const busy = document.getElementById('summary')?.dataset['busy'] === 'true'
  timer = setTimeout(look, busy ? BUSY_MS : IDLE_MS)
}

/** @param {string} text HTML made and escaped by the server */
function show (text) {
  if (text === shown) return
  shown = text
  const focused = live.contains(document.activeElement) ? document.activeElement?.id : ''
  const scrolled = live.querySelector('.scroll')?.scrollLeft ?? 0
  live.innerHTML = text
  const table = live.querySelector('.scroll')
  if (table !== null) table.scrollLeft = scrolled
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true })
}

/** @param {HTMLFormElement} form */
async function send (form) {
  const button = form.querySelector('button')
  if (button !== null) button.disabled = true
  try {
    const body = new URLSearchParams(/** @type {any} */ (new FormData(form)))
    const response = await fetch(form.action, { method: 'POST', body, headers: { accept: 'application/json' } })
    const answer = await response.json()
    if (!response.ok) throw new Error(answer.message)
    say(sentence(new URL(form.action).pathname, answer))
    if (!live.contains(form)) form.reset()
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true)
  } finally {
    if (button !== null) button.disabled = false
  }
  await look()
}

/**
 * @param {string} path
 * @param {Record<string, number>} answer
 */
function sentence (path, answer) {
  if (answer['mails'] !== undefined) return `Published. ${answer['mails'].toLocaleString('en')} mails are on their way.`
  if (answer['copies'] !== undefined) return `${answer['copies']} copies are on their way.`
  if (path.endsWith('/delete')) return `Deleted. ${answer['cancelled']} waiting copies were cancelled.`
  if (answer['cancelled'] !== undefined) return `${answer['cancelled']} cancelled.`
  if (answer['retried'] !== undefined) return `${answer['retried']} put back.`
  return path === '/orders' ? 'Ordered.' : 'Done.'
}

/**
 * @param {string} text
 * @param {boolean} [bad]
 */
function say (text, bad = false) {
  if (said.textContent === text) return
  said.textContent = text
  said.classList.toggle('bad', bad)
  clearTimeout(silence)
  if (!bad) silence = setTimeout(() => { said.textContent = '' }, SAID_MS)
}
