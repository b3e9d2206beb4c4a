import t from 'tap'
import { databases } from '../support/databases.ts'
import { openSite, until } from './support/site.ts'

for (const database of databases) {
  t.test(database.name, async (t) => {
    t.test('an order is answered before the score of its customer is recalculated', async (t) => {
      const site = await openSite(t, database, [])
      const { code, body } = await site.post('/orders', { customer: 1, amount: 25 })
      t.equal(code, 201)
      t.match(await customer(site, 1), { ordered: 25, score: 0 })
      await site.app.tasks.flushed()
      t.equal((await site.app.tasks.getResult(body.score)).status, 'READY', 'the id of the answer is the id of the work')
      site.startWorker()
      await until(async () => await customer(site, 1), { score: 2, status: 'SUCCESSFUL' })
    })

    t.test('trap, duplicate runs: however many orders come and however often the work runs, the score is right', async (t) => {
      const site = await openSite(t, database, [])
      await Promise.all(Array.from({ length: 8 }, async () => await site.post('/orders', { customer: 2, amount: 10 })))
      await site.app.tasks.flushed()
      t.equal((await site.app.tasks.list({ tag: 'customer:2' })).results.length, 1, 'the orders wait as one task')
      await site.app.tasks.enqueue('customers.score', 2)
      site.startWorker()
      await until(async () => await site.app.tasks.list({ status: 'SUCCESSFUL' }).then(({ results }) => results), { length: 2 })
      t.match(await customer(site, 2), { score: 8 })
    })

    t.test('an order for nobody leaves no order and no work', async (t) => {
      const site = await openSite(t, database, [])
      t.equal((await site.post('/orders', { customer: 99, amount: 10 })).code, 404)
      await site.app.tasks.flushed()
      t.strictSame((await site.app.tasks.list({})).results, [])
    })

    t.test('a note is copied ten times', async (t) => {
      const site = await openSite(t, database, [])
      site.app.settings.copyEvery = 0
      t.strictSame(await site.post('/notes/1/copy'), { code: 202, body: { id: 1, copies: 10 } })
      site.startWorker()
      await until(async () => await note(site, 1), { copies: 10 })
    })

    t.test('a copy of a note that is gone is refused and leaves no task', async (t) => {
      const site = await openSite(t, database, [])
      t.equal((await site.post('/notes/99/copy')).code, 404)
      t.strictSame((await site.app.tasks.list({})).results, [])
    })

    t.test('trap, conflicting operations: deleting a note cancels the copies that wait, and keeps those that were made', async (t) => {
      const site = await openSite(t, database, [])
      await site.post('/notes/1/copy') // the first at once, the others a minute apart
      site.startWorker()
      await until(async () => await note(site, 1), { copies: 1 })
      t.strictSame(await site.post('/notes/1/delete'), { code: 200, body: { id: 1, cancelled: 9 } })
      const { results } = await site.app.tasks.list({ tag: 'note:1' })
      t.strictSame(results.map(({ status }) => status).sort(), [...Array(9).fill('CANCELLED'), 'SUCCESSFUL'])
      t.equal((await site.app.knex('notes').where({ copied_from: 1 })).length, 1)
      t.equal((await site.post('/notes/1/delete')).code, 404)
    })

    t.test('trap, stale data: a copy that comes too late finds no note and ends quietly', async (t) => {
      const site = await openSite(t, database, [])
      const copy = await site.app.tasks.enqueue('notes.copy', 1)
      await site.app.knex('notes').where({ id: 1 }).delete() // as when the server dies before it can cancel
      site.startWorker()
      await copy.wait()
      t.equal(copy.status, 'SUCCESSFUL')
      t.equal(copy.returnValue, 'the note is gone')
      t.equal((await site.app.knex('notes').where({ copied_from: 1 })).length, 0)
    })

    t.test('trap, stale data: a copy has the text that the note has when it runs', async (t) => {
      const site = await openSite(t, database, [])
      const copy = await site.app.tasks.enqueue('notes.copy', 1)
      await site.app.knex('notes').where({ id: 1 }).update({ text: 'Changed meanwhile' })
      site.startWorker()
      await copy.wait()
      t.equal((await site.app.knex('notes').where({ copied_from: 1 }).first()).text, 'Changed meanwhile')
    })
  })
}

async function customer (site: { work: () => Promise<any> }, id: number): Promise<any> {
  const found = (await site.work()).customers.find((one: { id: number }) => one.id === id)
  return { ...found, status: found.work?.status }
}

async function note (site: { work: () => Promise<any> }, id: number): Promise<any> {
  return (await site.work()).notes.find((one: { id: number }) => one.id === id)
}
