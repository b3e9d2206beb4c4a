// @ts-check
import { html } from './html.js'
import { layout } from './layout.js'

/** @param {string} message */
export function problemPage (message) {
  return layout(html`
    <section class="card">
      <h2>That did not work</h2>
      <p>${message}</p>
      <p><a href="/">Back to the front page</a></p>
    </section>`)
}
