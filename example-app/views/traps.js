// @ts-check
import { html } from './html.js'

const TRAPS = [
  ['Stale data', 'Work runs later than it was asked for. What it was given may have changed, or be gone.',
    'Tasks are given ids and read the row when they run. A copy of a note that was deleted ends quietly.', 'tasks/notes.js'],
  ['Duplicate runs', 'A person clicks twice; a worker dies between doing the work and saying so.',
    'Publishing is guarded by the page’s own row. A delivery and the end of its task are written in one transaction. A score is counted from all orders, not added to. Mail itself is sent at least once, always with the same Message-ID.', 'tasks/mail.js'],
  ['Unheard failures', 'The response has long gone out when the work fails. Who hears of it?',
    'A failure stands beside the page that it belongs to, with its reason and a button. What may mend itself is retried; what will not (an address that is refused) fails at once.', 'views/pages.js'],
  ['Conflicting operations', 'Somebody deletes what work is still waiting for.',
    'Tasks carry a tag such as note:42. Deleting the note cancels what waits under it; what runs already finds no note.', 'routes/notes.js']
]

export function trapsCard () {
  return html`
    <section class="card" aria-labelledby="traps-title">
      <h2 id="traps-title">Four traps of background work</h2>
      <dl class="traps">${TRAPS.map(([name, trap, remedy, file]) => html`
        <div><dt>${name}</dt><dd>${trap}</dd><dd>${remedy} <code>${file}</code></dd></div>`)}</dl>
    </section>`
}
