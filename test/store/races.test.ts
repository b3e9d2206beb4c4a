import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import knex, { type Knex } from 'knex'
import { openStore, type KnexStore } from '#lib/store/index.js'
import { BACKEND, Bench, ending, ids, newRow, type TestWorker } from '#lib/conformance/store/bench.js'
import type { ClaimedRow } from '#lib/store/store.js'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'

// What a write after a claim does when somebody else (progress, a cancellation) is just changing the same row. Only a
// database with row locks knows this race: PostgreSQL looks at the row anew once the other has committed, in its new place.
const postgres = databases.find(({ name }) => name === 'postgres')

for (const changes of [1, 2, 3]) {
  t.test(`while ${changes} others change the row`, async (t) => {
    const cases: Record<string, { act: (race: Race) => Promise<unknown>, status: string }> = {
      'an ending is written': { act: async ({ worker, row, store }) => await store.finish(worker.id, [ending(row, 'SUCCESSFUL')], [row.claim]), status: 'SUCCESSFUL' },
      'a row is handed back': { act: async ({ worker, row, store }) => await store.release(worker.id, [row], [row.claim]), status: 'READY' },
      'a batch whose reply was lost is handed back': { act: async ({ worker, row, store }) => await store.releaseClaims(worker.id, [row.claim]), status: 'READY' },
      "a task's own transaction ends it": {
        act: async ({ worker, row, store }) => {
          const write = await store.begin()
          const held = await store.finishIn(write.transaction, worker.id, ending(row, 'SUCCESSFUL'))
          await (held ? write.commit() : write.rollback())
          assert.ok(held, 'its claim holds')
          await store.release(worker.id, [], [row.claim])
        },
        status: 'SUCCESSFUL'
      }
    }
    for (const [name, { act, status }] of Object.entries(cases)) {
      t.test(`${name}, and nothing is left behind`, { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
        const race = await setting(t)
        const first = await change(race)
        const acting = act(race)
        await waiting(race.knex, 1)
        const others: Array<Promise<void>> = []
        while (others.length < changes - 1) {
          others.push(change(race).then(async (other) => { await other.commit() }))
          await waiting(race.knex, 1 + others.length)
        }
        await first.commit()
        await Promise.all([acting, ...others])
        t.equal((await race.bench.get(race.row.id)).status, status)
        t.same((await race.knex.raw('SELECT * FROM tasks_claims')).rows, [], 'no claim names a row that is not held')
      })
    }
  })
}

t.test('a rescue does not wait for a row that a session of the dead keeps locked: it takes all others, and that one once it is free', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const race = await setting(t)
  const { bench, store, worker, row } = race
  const others = await bench.insert({ task: row.task }, { task: row.task })
  t.equal((await worker.claim()).length, 2)
  const other = await bench.running({ task: 'another.task' })
  const holder = await change(race)
  t.same((await bench.bury(other.worker)).charged.map(({ id }) => id), [other.row.id])
  const { charged } = await bench.bury(worker)
  t.same(charged.map(({ id }) => id).sort(), others.map(({ id }) => id).sort(), 'the claim of its own')
  t.equal((await bench.get(row.id)).status, 'RUNNING')
  const rescue = async (): ReturnType<KnexStore['rescue']> => await store.rescue({ backend: row.backend, crashBudget: 3 })
  t.same((await rescue()).charged, [], 'nothing is charged twice')
  await holder.rollback()
  t.same((await rescue()).charged.map(({ id, deaths }) => [id, deaths]), [[row.id, 1]])
  for (const { id } of others) t.equal((await bench.get(id)).deaths, 1)
  for (const table of ['claims', 'workers']) t.same((await race.knex.raw(`SELECT * FROM tasks_${table}`)).rows, [], table)
})

t.test('a transaction that has written the end of its task and is not committed is ended by the server', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { store, row, worker } = await setting(t)
  const open = await store.begin()
  await store.finishIn(open.transaction, worker.id, ending(row, 'SUCCESSFUL'))
  const { rows: [shown] } = await open.transaction.raw('SHOW idle_in_transaction_session_timeout')
  t.same(shown, { idle_in_transaction_session_timeout: '1min' })
  await open.rollback()
})

t.test('a cancellation by a filter waits for a row that somebody is changing, and holds no other meanwhile: nobody deadlocks with it', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { bench, store, knex } = await setting(t)
  const rows = await bench.insert(...Array.from({ length: 3 }, () => ({ queue: 'q' })))
  const worker = await bench.worker()
  t.equal((await worker.claim({ queues: ['q'] })).length, 3)
  for (const busy of rows) {
    const holder = await change({ knex, row: busy })
    const cancelling = store.cancel({ backend: BACKEND, queue: 'q' })
    await waiting(knex, 1)
    const free = await holder.raw('SELECT 1 FROM tasks_results WHERE queue = ? FOR UPDATE NOWAIT', ['q']).then(() => true, () => false)
    await holder[free ? 'commit' : 'rollback']()
    t.ok(free, 'no other is held')
    t.same((await cancelling).signalled.sort(), ids(rows).sort())
  }
  t.same([...await store.cancelled(worker.id)].sort(), ids(rows).sort())
})

t.test('a cancellation by a filter takes a row that changes hands meanwhile as it is then', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { bench, store, knex, row, worker } = await setting(t)
  const other = await bench.worker()
  const filter = { backend: BACKEND, task: row.task }
  const claims = await knex.transaction()
  await claims.raw('UPDATE tasks_results SET worker = ?, claim = 7 WHERE id = ?', [other.id, row.id])
  await claims.raw('UPDATE tasks_claims SET worker = ?, claim = 7', [other.id])
  const signalling = store.cancel(filter)
  await waiting(knex, 1)
  await claims.commit()
  t.same(await signalling, { cancelled: [], signalled: [row.id] })
  t.same([await store.cancelled(worker.id), await store.cancelled(other.id)], [[], [row.id]], 'who holds it now is told')

  const ready = await bench.running()
  const release = await knex.transaction()
  await release.raw("UPDATE tasks_results SET status = 'READY', claimable = true, worker = NULL, claim = NULL WHERE id = ?", [ready.row.id])
  const cancelling = store.cancel({ ...filter, queue: ready.row.queue })
  await waiting(knex, 1)
  await release.commit()
  const { cancelled, signalled } = await cancelling
  t.same([ids(cancelled), signalled], [[ready.row.id], [row.id]])
})

t.test('a retry, a hand-back and a rescue do not wait for a transaction that is enqueueing under their key', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { bench, store } = await setting(t)
  const unique = { key: 'k', scope: 'ready', onConflict: 'return' } as const
  for (const back of ['retry', 'hand-back', 'rescue']) {
    const { row, worker } = await bench.running({ task: `test.${back}`, unique })
    const stranger = await store.begin()
    const [inserted] = await store.insert([newRow({ task: row.task, unique })], { transaction: stranger.transaction })
    t.equal(inserted?.isDuplicate, false, 'it runs, so the key is free')
    if (back === 'retry') t.equal((await worker.finish(ending(row, 'READY'))).length, 1)
    else if (back === 'hand-back') t.same(await worker.release(row), [row.id])
    else t.equal((await bench.bury(worker)).charged.length, 1)
    await stranger.commit()
    t.equal((await bench.get(row.id)).status, 'READY')
  }
})

async function change ({ knex, row }: { knex: Knex, row: { id: string } }): Promise<Knex.Transaction> {
  const holder = await knex.transaction()
  await holder.raw("UPDATE tasks_results SET progress = '1' WHERE id = ?", [row.id])
  return holder
}

interface Race { readonly bench: Bench, readonly store: KnexStore, readonly row: ClaimedRow, readonly worker: TestWorker, readonly knex: Knex }

async function setting (t: Test): Promise<Race> {
  const { url, close } = await (postgres as NonNullable<typeof postgres>).open()
  const store = openStore({ url })
  await store.open()
  const holders = knex({ client: 'pg', connection: url })
  t.teardown(async () => {
    await holders.destroy()
    await store.close()
    await close()
  })
  const bench = new Bench({ store, connect: async () => store, close: async () => {} })
  return { bench, store, knex: holders, ...await bench.running() }
}

/** Resolves when so many sessions of this database wait for a lock. */
async function waiting (knex: Knex, sessions: number): Promise<void> {
  await eventually(async () => {
    const { rows: [row] } = await knex.raw("SELECT count(*)::int AS found FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    assert.equal(row.found, sessions)
  })
}
