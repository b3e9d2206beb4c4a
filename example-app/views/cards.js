// @ts-check
import { html } from './html.js'
import { button, statusBadge } from './parts.js'

/** @param {import('../overview.js').Overview['customers']} customers */
export function customersCard (customers) {
  return html`
    <section class="card" aria-labelledby="customers-title">
      <h2 id="customers-title">Customers</h2>
      <p class="quiet">An order is answered at once; the score follows after the response. One point for every 10 ordered.</p>
      <ul class="list">${customers.map((customer) => html`
        <li id="customer-${customer.id}">
          <div class="head">
            <h3>${customer.name}</h3>
            <form method="post" action="/orders">
              <input type="hidden" name="customer" value="${customer.id}"><input type="hidden" name="amount" value="25">
              <button id="order-${customer.id}">Order for 25<span class="hidden"> by ${customer.name}</span></button>
            </form>
          </div>
          <p class="counts"><span>Ordered ${customer.ordered}</span> <strong class="score">Score ${customer.score}</strong> ${customer.work !== null && statusBadge(customer.work)}</p>
          ${customer.work?.status === 'FAILED' && html`<p class="error">${customer.work.error}</p>`}
        </li>`)}</ul>
    </section>`
}

/** @param {import('../overview.js').Overview['notes']} notes */
export function notesCard (notes) {
  return html`
    <section class="card" aria-labelledby="notes-title">
      <h2 id="notes-title">Notes</h2>
      <p class="quiet">A note is copied ten times, one copy a second. Delete it meanwhile: the copies that wait are cancelled.</p>
      ${notes.length === 0 && html`<p class="quiet">No notes. Write one below.</p>`}
      <ul class="list">${notes.map((note) => html`
        <li id="note-${note.id}">
          <div class="head">
            <h3>${note.text}</h3>
            <div class="buttons">
              ${button(`/notes/${note.id}/copy`, 'Copy 10 times', note.text)}
              ${button(`/notes/${note.id}/delete`, 'Delete', note.text)}
            </div>
          </div>
          <p class="counts"><span class="copies">${note.copies} ${note.copies === 1 ? 'copy' : 'copies'}</span> ${note.work.map(statusBadge)}</p>
        </li>`)}</ul>
    </section>`
}
