import t, { type Test } from 'tap'
import knexFactory, { type Knex } from 'knex'
import { BACKEND, Bench, ending, ids } from '#lib/conformance/store/bench.js'
import { postgres } from '#lib/store/dialects/postgres.js'
import { sqlite } from '#lib/store/dialects/sqlite.js'
import { openStore } from '#lib/store/index.js'
import type { Session } from '#lib/store/session.js'
import type { ClaimedRow, ListFilter, NewRow } from '#lib/store/store.js'
import { tableNames } from '#lib/store/tables.js'
import { list } from '#lib/store/verbs/list.js'
import { databases, type TestDatabases } from '../support/databases.ts'

// A list takes several statements where what it looks for is rare, and others come and go between any two of them.
const ROWS = 2_000
const RARE_EVERY = 50
const LIMIT = 30 // a page of what is rare takes two chunks
const AT_A_TIME = 150 // rows that come or go behind each statement

/** Prepares what comes or goes, and answers what happens behind each statement. */
type Prepare = (bench: Bench) => Promise<() => Promise<unknown>>

const enqueued: Prepare = async (bench) => async () => await bench.insert(...Array.from({ length: AT_A_TIME }, () => ({ tags: ['t'] })))

const claimed: Prepare = async (bench) => {
  const worker = await bench.worker()
  return async () => await worker.claim({ limit: AT_A_TIME, queues: ['busy'] })
}

const finished: Prepare = async (bench) => {
  const worker = await bench.worker({ tasks: ['rare', 'test.task'] })
  const batches: ClaimedRow[][] = []
  for (const queues of [['busy'], ['default']]) {
    for (let batch; (batch = await worker.claim({ limit: AT_A_TIME, queues })).length > 0;) if (queues.includes('busy')) batches.push(batch)
  }
  const last = (batch: ClaimedRow[]): string => (batch.at(-1) as ClaimedRow).id
  batches.sort((a, b) => last(a) < last(b) ? -1 : 1)
  return async () => {
    const batch = batches.pop() ?? []
    await bench.store.finish(worker.id, batch.map((row) => ending(row, 'SUCCESSFUL')), batch.slice(0, 1).map(({ claim }) => claim))
  }
}

const CASES: Record<string, { filter: Partial<ListFilter>, prepare: Prepare }> = {
  'rows are enqueued': { filter: { task: 'rare' }, prepare: enqueued },
  'rows of the tag are enqueued': { filter: { task: 'rare', tag: 't' }, prepare: enqueued },
  'rows that were READY are claimed': { filter: { task: 'rare', status: 'READY' }, prepare: claimed },
  'rows that were RUNNING are finished': { filter: { task: 'rare', status: 'RUNNING' }, prepare: finished }
}

for (const database of databases) {
  for (const [title, { filter, prepare }] of Object.entries(CASES)) {
    t.test(`${database.name}: what fits all the while is listed once, though ${title} behind each statement of the list`, async (t) => {
      const { bench, knex } = await setting(t, database)
      const rows = await bench.insert(...Array.from({ length: ROWS }, (_, n) => rowOf(n)))
      const happens = await prepare(bench)
      const listed: string[] = []
      let after: string | null = null
      do {
        const page: Awaited<ReturnType<typeof list>> = await list(interrupted(knex, database.name, happens), { backend: BACKEND, limit: LIMIT, ...filter, ...(after !== null && { after }) })
        listed.push(...ids(page.rows))
        after = page.next
      } while (after !== null)
      t.same(listed, ids(rows.filter(({ task }) => task === 'rare')).reverse())
    })
  }
}

/** The newest of those that are not rare are claimed first: they go from where a list begins. */
function rowOf (n: number): Partial<NewRow> {
  return n % RARE_EVERY === 0 ? { task: 'rare', tags: ['t'] } : { queue: 'busy', tags: ['t'], priority: n > ROWS * 0.6 ? 1 : 0 }
}

/** As much of a session as a list needs; something happens behind each statement. */
function interrupted (knex: Knex, name: string, happens: () => Promise<unknown>): Session {
  const dialect = name === 'postgres' ? postgres : sqlite
  const read = async (_what: string, sql: string, bindings: unknown[]): Promise<unknown> => {
    const rows = dialect.rowsOf(await knex.raw(sql, bindings as Knex.RawBinding[]))
    await happens()
    return rows
  }
  return { dialect, tables: tableNames(undefined), read } as unknown as Session
}

async function setting (t: Test, { name, open }: TestDatabases): Promise<{ bench: Bench, knex: Knex }> {
  const { url, close } = await open()
  const store = openStore({ url })
  await store.open()
  const knex = knexFactory(name === 'postgres' ? { client: 'pg', connection: url } : { client: 'sqlite3', connection: { filename: url.replace('sqlite:', '') }, useNullAsDefault: true })
  t.teardown(async () => {
    await knex.destroy()
    await store.close()
    await close()
  })
  return { bench: new Bench({ store, connect: async () => store, close: async () => {} }), knex }
}
