import t from 'tap'
import pg from 'pg'
import { openStore } from '#lib/store/index.js'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { ROW_BY_ROW } from '../support/heard-stores.ts'

const { query } = pg.Client.prototype
const postgres = databases.find(({ name }) => name === 'postgres')

const LOOKS = 200
const PLANNED_FIRST = 15 // by PostgreSQL, on each connection: five of each name before it thinks of keeping a plan

t.test('a look for lanes is planned a few times a connection, and not each time it is sent, though the tables were empty at first', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { url, close } = await (postgres as NonNullable<typeof postgres>).open()
  t.teardown(close)
  const store = openStore({ url })
  const clients = new Set<pg.Client>() // of the store's pool: each knows its own plans
  t.intercept(pg.Client.prototype, 'query', { value: function (this: pg.Client, ...args: Parameters<typeof query>) { clients.add(this); return query.apply(this, args) } })
  await store.open()
  t.teardown(async () => { await store.close() })
  const backend = 'default'
  const look = async (): Promise<unknown> => await store.lanes({ backend, known: [{ queue: 'default', priority: 0, after: null }], since: 0 })
  for (let empty = 0; empty < 4; empty++) await look()
  for (let rows = 0; rows < 5_000; rows += 1_000) await store.insert(Array.from({ length: 1_000 }, () => newRow({ backend })))
  const before = await plansOf('known_queue')
  for (let looks = 0; looks < LOOKS; looks++) await look()
  const after = await plansOf('known_queue')
  const planned = after.custom - before.custom
  t.ok(planned <= PLANNED_FIRST * clients.size, `of ${LOOKS} looks ${planned} were planned, on ${clients.size} connections`)
  t.equal(after.generic - before.generic, LOOKS - planned)
  t.ok(PLANNED_FIRST * clients.size < LOOKS / 2, 'so most were not')

  async function plansOf (words: string): Promise<{ custom: number, generic: number }> {
    const counts = { custom: 0, generic: 0 }
    for (const client of [...clients]) {
      const { rows: [row] } = await client.query('SELECT coalesce(sum(custom_plans), 0)::int AS custom, coalesce(sum(generic_plans), 0)::int AS generic FROM pg_prepared_statements WHERE statement LIKE $1', [`%${words}%`])
      counts.custom += row.custom
      counts.generic += row.generic
    }
    return counts
  }
})

// A sub-query that is joined is then run again for each row.
t.test('a prune deletes no more than a batch, though PostgreSQL goes row by row through all that it joins', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { url, close } = await (postgres as NonNullable<typeof postgres>).open()
  t.teardown(close)
  const slow = new URL(url)
  slow.searchParams.set('options', ROW_BY_ROW)
  const store = openStore({ url: slow.href })
  await store.open()
  t.teardown(async () => { await store.close() })
  const backend = 'default'
  const rows = await store.insert(Array.from({ length: 7 }, () => newRow({ backend })))
  await store.cancel({ backend })
  const request = { backend, minAgeMs: 0, failedMinAgeMs: 0, limit: 3 }
  t.same(await store.prune(request), { deleted: 3, after: rows[2]?.row.id })
  t.equal(await store.countPrunable(request), 4, 'the others are there')
})
