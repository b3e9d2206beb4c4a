import t, { type Test } from 'tap'
import knex from 'knex'
import { openStore, type KnexStore } from '#lib/store/index.js'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { within } from '../support/eventually.ts'

const HEARD_MS = 10_000 // within which a hint comes on a busy machine

for (const { name, open } of databases) {
  t.test(`workers of other processes, on ${name}`, async (t) => {
    const { url, close } = await open()
    t.teardown(close)

    t.test('are woken once rows were committed by a transaction of somebody else', async (t) => {
      const { store, ears } = await setting(t, url)
      const heard = ears.next()
      store.committed() // nothing is written by it: only a hint can be heard
      await within(HEARD_MS, 'the hint', heard)
    })

    t.test('are woken by each of the inserts that follow upon each other', async (t) => {
      const { store, ears } = await setting(t, url)
      for (let round = 0; round < 5; round++) {
        await store.insert([newRow()])
        // By then the row is there to be seen, so what is heard from now on is about it at the least.
        await within(HEARD_MS, 'the hint', ears.since(round))
      }
    })

    t.test('hear nothing after the last of them, at rest', async (t) => {
      const { store, ears } = await setting(t, url)
      await store.insert([newRow()])
      await within(HEARD_MS, 'the hint', ears.since(0))
      await ears.quiet()
    })
  })
}

const postgres = databases.find(({ name }) => name === 'postgres')

t.test('an insert of a quiet process takes its word to the workers along, in its own statement', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { url, close } = await (postgres as NonNullable<typeof postgres>).open()
  t.teardown(close)
  const { store, ears } = await setting(t, url)
  const watcher = knex({ client: 'pg', connection: url })
  t.teardown(async () => { await watcher.destroy() })
  const row = newRow()
  const blocker = await watcher.transaction()
  // The same id, not committed: the insert waits for it, and so does its word.
  await blocker.raw("INSERT INTO tasks_results (id, due, enqueued_at, backend, task, queue, priority, args, status, claimable) VALUES (?, 1, 1, 'other', 'x', 'x', 0, '[]', 'READY', false)", [row.id])
  const inserting = store.insert([row])
  const heard = ears.next()
  await blocker.rollback()
  await inserting
  await within(HEARD_MS, 'the hint', heard)
  t.same((await watcher.raw("SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE '%pg_notify%ready%' AND query NOT LIKE '%INSERT%' AND query NOT LIKE '%pg_stat_activity%'")).rows, [{ n: 0 }], 'no connection has sent a NOTIFY alone')
})

interface Ears {
  /** Resolves with the next hint. */
  next: () => Promise<void>
  /** Resolves once more than so many were heard. */
  since: (count: number) => Promise<void>
  /** Resolves when none has come for a while. */
  quiet: () => Promise<void>
}

/** A store that stores, and another one on the same tables that listens. */
async function setting (t: Test, url: string): Promise<{ store: KnexStore, ears: Ears }> {
  const store = openStore({ url })
  const other = openStore({ url })
  let count = 0
  let waiting: Array<() => void> = []
  await store.open()
  await other.open()
  const listener = await other.listen(() => {
    count += 1
    for (const resolve of waiting.splice(0)) resolve()
  })
  t.teardown(async () => {
    await listener.close()
    await store.close()
    await other.close()
  })
  const next = async (): Promise<void> => { await new Promise<void>((resolve) => { waiting.push(resolve) }) }
  const quiet = async (): Promise<void> => {
    for (let before = -1; before !== count;) {
      before = count
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
    }
  }
  await quiet()
  count = 0
  waiting = []
  return { store, ears: { next, quiet, since: async (least) => { for (;;) { if (count > least) return; await next() } } } }
}

const QUIET_MS = 100 // several times the interval at which a process sends hints
