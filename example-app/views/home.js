// @ts-check
import { html } from './html.js'
import { layout } from './layout.js'
import { pagesCard } from './pages.js'
import { customersCard, notesCard } from './cards.js'
import { button, count, noun, statusBadge } from './parts.js'
import { trapsCard } from './traps.js'

/** @typedef {import('../overview.js').Overview} Overview */

/**
 * The front page: what changes by itself, and below it the forms, which must keep what somebody is typing.
 *
 * @param {Overview} now
 */
export function homePage (now) {
  return layout(html`
    <div id="live">${livePart(now)}</div>
    <section class="card" aria-labelledby="write-title">
      <h2 id="write-title">Write</h2>
      <div class="columns">
        <form method="post" action="/pages">
          <h3>A page</h3>
          <label>Title <input name="title" required maxlength="200"></label>
          <label>Text <textarea name="body" required maxlength="20000" rows="3"></textarea></label>
          <button id="new-page">Save page</button>
        </form>
        <form method="post" action="/notes">
          <h3>A note</h3>
          <label>Text <input name="text" required maxlength="500"></label>
          <button id="new-note">Save note</button>
        </form>
      </div>
    </section>
    ${trapsCard()}`,
  html`<script src="/site.js" defer></script><noscript><meta http-equiv="refresh" content="3"></noscript>`)
}

/** @param {Overview} now */
export function livePart (now) {
  return html`
    ${summary(now)}
    ${pagesCard(now.pages)}
    <div class="columns">${customersCard(now.customers)}${notesCard(now.notes)}</div>
    ${recentCard(now.recent)}`
}

/** @param {Overview} now */
function summary ({ queues, workers }) {
  const all = Object.values(queues)
  /** @param {'ready' | 'deferred' | 'running' | 'failed'} field */
  const sum = (field) => all.reduce((total, queue) => total + queue[field], 0)
  const busy = sum('ready') + sum('running') > 0
  return html`
    <dl class="summary" id="summary" data-busy="${busy}">
      <div><dt>Workers</dt><dd>${count(workers)}</dd></div>
      <div><dt>Ready</dt><dd>${count(sum('ready'))}</dd></div>
      <div><dt>Later</dt><dd>${count(sum('deferred'))}</dd></div>
      <div><dt>Running</dt><dd>${count(sum('running'))}</dd></div>
      <div><dt>Failed</dt><dd>${count(sum('failed'))}</dd></div>
    </dl>
    ${workers === 0 && html`<p class="warning" id="no-worker">No worker is running, so nothing will be done. Start one with <code>node example-app/worker.js</code>.</p>`}`
}

/** @param {Overview['recent']} recent */
function recentCard (recent) {
  return html`
    <section class="card" aria-labelledby="recent-title" id="recent">
      <h2 id="recent-title">Latest work</h2>
      ${recent.length === 0
        ? html`<p class="quiet">Nothing yet. Publish a page, add an order or copy a note.</p>`
        : html`<div class="scroll" tabindex="0" role="region" aria-labelledby="recent-title"><table>
            <thead><tr><th scope="col">Task</th><th scope="col">Status</th><th scope="col">Attempts</th><th scope="col">Error</th><th scope="col">Action</th></tr></thead>
            <tbody>${recent.map(row)}</tbody>
          </table></div>`}
    </section>`
}

/** @param {import('../overview.js').Work} work */
function row (work) {
  return html`<tr>
    <th scope="row">${noun(work)}</th>
    <td>${statusBadge(work)}</td>
    <td>${work.attempts}</td>
    <td class="error">${work.error}</td>
    <td>${work.status === 'FAILED' || work.status === 'CANCELLED' ? button(`/work/${work.id}/retry`, 'Retry', noun(work)) : null}
        ${work.status === 'READY' || work.status === 'RUNNING' ? button(`/work/${work.id}/cancel`, 'Cancel', noun(work)) : null}</td>
  </tr>`
}
