import t, { type Test } from 'tap'
import pg from 'pg'
import type { KnexStore } from '#lib/store/index.js'
import { Bench, ending, newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { openPostgresStore } from '../support/postgres-store.ts'

// Between a statement whose answer was lost and the next try others go on. PostgreSQL only: a file answers.
const postgres = databases.find(({ name }) => name === 'postgres')
const skip = postgres === undefined && 'without PostgreSQL'
const { query } = pg.Client.prototype

t.test('what was put back, has run and has failed again meanwhile is not put back twice', { skip }, async (t) => {
  for (const unique of [null, { key: 'k', scope: 'unfinished', onConflict: 'return' } as const]) {
    const { store, bench } = await setting(t)
    const { row, worker } = await bench.running({ unique })
    await worker.finish(ending(row, 'FAILED'))
    const lost = loseAnswer(t, unique === null ? /SET status = 'READY'/ : /^COMMIT/, async () => {
      const [again] = await worker.claim()
      await worker.finish(ending(again!, 'FAILED'))
    })
    t.same(await store.requeue({ backend: row.backend, id: row.id }), [row.id], 'it was put back')
    t.ok(lost.happened)
    t.match(await bench.get(row.id), { status: 'FAILED', attempts: 2, priorAttempts: 1 })
  }
})

t.test('a row that was replaced and has ended meanwhile is not stored as another', { skip }, async (t) => {
  const { store, bench } = await setting(t)
  const unique = { key: 'k', scope: 'unfinished', onConflict: 'replace' } as const
  const [standing] = await store.insert([newRow({ unique, args: '["old"]' })])
  const worker = await bench.worker({ tasks: ['test.task'] })
  const lost = loseAnswer(t, /^COMMIT/, async () => {
    const [claimed] = await worker.claim()
    t.equal(claimed?.args, '["new"]')
    await worker.finish(ending(claimed!, 'SUCCESSFUL'))
  })
  const [replaced] = await store.insert([newRow({ unique, args: '["new"]' })])
  t.ok(lost.happened)
  t.match(replaced, { isDuplicate: true, row: { id: standing!.row.id, status: 'SUCCESSFUL' } })
  t.equal((await store.list({ backend: 'default', limit: 10 })).rows.length, 1)
})

t.test('a replacement that did not arrive is made up for, also where the row was the same and has been claimed meanwhile', { skip }, async (t) => {
  const { store, bench } = await setting(t)
  const unique = { key: 'k', scope: 'unfinished', onConflict: 'replace' } as const
  await store.insert([newRow({ unique })])
  const worker = await bench.worker({ tasks: ['test.task'] })
  const lost = loseAnswer(t, /^UPDATE .*unique_ready = CASE/s, async () => {
    const [claimed] = await worker.claim()
    await worker.finish(ending(claimed!, 'SUCCESSFUL'))
  }, { arrives: false })
  const [stored] = await store.insert([newRow({ unique })])
  t.ok(lost.happened)
  t.match(stored, { isDuplicate: false, row: { status: 'READY' } })
})

t.test('a retry that a rescuer was quicker than is refused, though its statement was sent twice', { skip }, async (t) => {
  for (const [status, budget] of [['READY', 3], ['FAILED', 1]] as const) {
    const { bench } = await setting(t)
    const { row, worker } = await bench.running()
    const lost = loseAnswer(t, /WITH done AS/, async () => { await bench.bury(worker, budget) }, { arrives: false })
    t.same(await worker.finish(ending(row, status)), [])
    t.ok(lost.happened)
    t.match(await bench.get(row.id), { status, deaths: 1, errors: [{ code: 'FST_TASKS_WORKER_LOST' }] })
  }
})

async function setting (t: Test): Promise<{ store: KnexStore, bench: Bench }> {
  const store = await openPostgresStore(t)
  return { store, bench: new Bench({ store, connect: async () => store, close: async () => {} }) }
}

/** Of the first statement that fits: the connection fails once it has taken effect (or before), and `meanwhile` is done before anybody hears of it. */
function loseAnswer (t: Test, statement: RegExp, meanwhile: () => Promise<void>, { arrives = true } = {}): { happened: boolean } {
  const state = { happened: false }
  t.intercept(pg.Client.prototype, 'query', {
    value: async function (this: pg.Client, ...args: any[]) {
      const { text = args[0] } = args[0] as { text?: string }
      if (state.happened || !statement.test(text.trim())) return await Reflect.apply(query, this, args)
      state.happened = true
      if (arrives) await Reflect.apply(query, this, args)
      await meanwhile()
      throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
    }
  })
  return state
}
