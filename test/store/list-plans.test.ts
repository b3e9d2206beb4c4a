import t from 'tap'
import knexFactory, { type Knex } from 'knex'
import type { Dialect } from '#lib/store/dialects/dialect.js'
import { postgres } from '#lib/store/dialects/postgres.js'
import { sqlite } from '#lib/store/dialects/sqlite.js'
import { openStore } from '#lib/store/index.js'
import type { Session } from '#lib/store/session.js'
import type { Pruned } from '#lib/store/store.js'
import { tableNames } from '#lib/store/tables.js'
import { list } from '#lib/store/verbs/list.js'
import { databases } from '../support/databases.ts'

// A table in which most results have ended, a few have failed, and the newest wait. Each filter must be answered from an
// index, whatever the planner thinks of the table: a page of it may not cost the more the more rows there are.
const ROWS = 12_000
const STEP_MS = 1_000
const START = Date.now() - ROWS * STEP_MS
const WAITING = 600
// A page of 20 out of the densest place, and what is looked at beside it for clocks that are off.
const LOOKED_AT_MAX = 2_500

const FILTERS: Record<string, object> = {
  everything: {},
  READY: { status: 'READY' },
  'READY in a queue': { status: 'READY', queue: 'q3' },
  RUNNING: { status: 'RUNNING' },
  FAILED: { status: 'FAILED' },
  'FAILED in a queue': { status: 'FAILED', queue: 'q7' },
  'FAILED since': { status: 'FAILED', finishedAfter: START + ROWS * STEP_MS / 2 },
  CANCELLED: { status: 'CANCELLED' },
  SUCCESSFUL: { status: 'SUCCESSFUL' },
  'a queue': { queue: 'q3' },
  'a task': { task: 't3' },
  'a common tag': { tag: 'common' },
  'a rare tag': { tag: 'rare' },
  'FAILED of a common tag': { tag: 'common', status: 'FAILED' }
}

for (const { name, open } of databases) {
  t.test(`${name}: a page of results is found by an index, and pruning goes on behind what is kept`, async (t) => {
    const { url, close } = await open()
    const store = openStore({ url })
    const knex = knexFactory(name === 'postgres' ? { client: 'pg', connection: url } : { client: 'sqlite3', connection: { filename: url.replace('sqlite:', '') }, useNullAsDefault: true })
    t.teardown(async () => {
      await knex.destroy()
      await close()
    })
    t.teardown(async () => { await store.close() })
    await store.open()
    await fill(knex, name)
    for (const [title, filter] of Object.entries(FILTERS)) {
      let statements = 0
      const read = async (_what: string, sql: string, bindings: unknown[]): Promise<unknown> => {
        statements++
        const problem = await (name === 'postgres' ? lookedAt : scans)(knex, sql, bindings)
        t.equal(problem, null, title)
        return dialectOf(name).rowsOf(await knex.raw(sql, bindings as Knex.RawBinding[]))
      }
      const { rows } = await list({ dialect: dialectOf(name), tables: tableNames(undefined), read } as unknown as Session, { backend: 'default', limit: 20, ...filter })
      t.ok(statements > 0 && (rows.length === 20 || title === 'RUNNING' || title === 'a rare tag'), `${title}: ${rows.length} rows`)
    }
    const request = { backend: 'default', minAgeMs: null, failedMinAgeMs: 0, cancelledMinAgeMs: null }
    const prunable = await store.countPrunable(request)
    const batches: number[] = []
    for (let after: string | null = null, more = true; more;) {
      const pruned: Pruned = await store.prune({ ...request, limit: 1_000, after })
      batches.push(pruned.deleted)
      after = pruned.after
      more = after !== null
    }
    t.equal(prunable, (ROWS - WAITING) / 100, 'among ten thousand that are kept')
    t.same(batches, [100, 14], 'a batch looks at ten thousand rows, and the next begins behind them')
  })
}

const dialectOf = (name: string): Dialect => name === 'postgres' ? postgres : sqlite

/** Null where a statement looked at few rows. */
async function lookedAt (knex: Knex, sql: string, bindings: unknown[]): Promise<string | null> {
  const { rows } = await knex.raw(`EXPLAIN (ANALYZE, FORMAT JSON) ${sql}`, bindings as Knex.RawBinding[])
  const looked = rowsOf(rows[0]['QUERY PLAN'][0].Plan)
  return looked <= LOOKED_AT_MAX ? null : `${looked} rows: ${JSON.stringify(rows[0]['QUERY PLAN'])}`
}

interface Plan { 'Actual Rows': number, 'Actual Loops': number, 'Rows Removed by Filter'?: number, Plans?: Plan[] }

function rowsOf (plan: Plan): number {
  const { Plans: plans = [], 'Actual Rows': rows, 'Actual Loops': loops, 'Rows Removed by Filter': removed = 0 } = plan
  return plans.length > 0 ? plans.reduce((sum, each) => sum + rowsOf(each), 0) : (rows + removed) * loops
}

/** Null where SQLite reads no table from end to end without an index (`r` is what comes of one, or is looked up by its id). */
async function scans (knex: Knex, sql: string, bindings: unknown[]): Promise<string | null> {
  const steps = await knex.raw(`EXPLAIN QUERY PLAN ${sql}`, bindings as Knex.RawBinding[]) as Array<{ detail: string }>
  const scan = steps.find(({ detail }) => /^SCAN (x|g|p\d)$/.test(detail))
  return scan === undefined ? null : JSON.stringify(steps.map(({ detail }) => detail))
}

async function fill (knex: Knex, name: string): Promise<void> {
  const pg = name === 'postgres'
  const hex = (value: string): string => pg ? `lpad(to_hex(${value}), 12, '0')` : `printf('%012x', ${value})`
  const moment = `(${START} + i * ${STEP_MS})`
  const id = `substr(${hex(moment)}, 1, 8) || '-' || substr(${hex(moment)}, 9) || '-7000-8000-' || ${hex('i')}`
  const waits = `i > ${ROWS - WAITING}`
  const failed = `(NOT ${waits} AND i % 100 = 7)`
  const cancelled = `(NOT ${waits} AND i % 100 = 8)`
  const series = pg ? `generate_series(1::bigint, ${ROWS}) AS s (i)` : `(WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < ${ROWS}) SELECT i FROM s)`
  await knex.raw(`
    INSERT INTO tasks_results (id, due, enqueued_at, finished_at, failed_at, cancel_at, priority, claimable, status, backend, queue, task, args)
    SELECT ${pg ? `(${id})::uuid` : id}, ${moment}, ${moment}, CASE WHEN ${waits} THEN NULL ELSE ${moment} + 50 END,
      CASE WHEN ${failed} THEN ${moment} END, CASE WHEN ${cancelled} THEN ${moment} END, 0, ${waits},
      CASE WHEN ${waits} THEN 'READY' WHEN ${failed} THEN 'FAILED' WHEN ${cancelled} THEN 'CANCELLED' ELSE 'SUCCESSFUL' END,
      'default', 'q' || (i % 10), 't' || (i % 20), '[]' FROM ${series}`)
  await knex.raw("INSERT INTO tasks_tags (tag, id) SELECT CASE WHEN seq % 3000 = 7 THEN 'rare' ELSE 'common' END, id FROM tasks_results WHERE seq % 10 = 7")
  if (pg) await knex.raw('ANALYZE')
}
