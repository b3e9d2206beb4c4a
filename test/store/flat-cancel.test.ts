import assert from 'node:assert/strict'
import t from 'tap'
import type { Knex } from 'knex'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { heardPostgres, heardSqlite, ROW_BY_ROW } from '../support/heard-stores.ts'
import { pagesOf, type Sent } from '../support/pages.ts'

// What it costs to cancel what runs must not depend on how much has ended and is kept. Counted in pages on PostgreSQL; on
// SQLite, which counts nothing, seen from the plan.

const [FEW, MANY] = [1_000, 30_000]
const RUNNING = 20
const TABLES = ['results', 'tags', 'claims', 'cancels'].map((name) => `tasks_${name}`)

const FILTERS: Record<string, (backend: string) => object> = {
  'a backend': () => ({}),
  'a queue': () => ({ queue: 'default' }),
  'a task': () => ({ task: 'known' }),
  'a tag': (backend) => ({ tag: backend }),
  'a queue, a task and a tag': (backend) => ({ queue: 'default', task: 'known', tag: backend, status: 'RUNNING' })
}

const postgres = databases.find(({ name }) => name === 'postgres')
const WAYS = { 'as it is set': undefined, 'though it goes row by row through all that it joins': ROW_BY_ROW }
for (const [how, options] of Object.entries(WAYS)) {
  t.test(`on postgres, ${how}, the pages touched do not depend on how many rows have ended, where what runs is cancelled by`, { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
    const { knex, store } = await heardPostgres(t, options)
    // Nor is the planner to learn more in the middle of it than is said here.
    for (const table of TABLES) await knex.raw(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`)
    const touched = new Map<string, number[]>()
    for (const count of [FEW, MANY]) {
      const backend = `ended-${count}`
      await knex.raw(`
        INSERT INTO tasks_results (id, enqueued_at, finished_at, args, backend, due, priority, claimable, status, queue, task)
        SELECT gen_random_uuid(), 1, 2, '[]', ?, 1000 + i, 0, false, 'SUCCESSFUL', 'default', 'known' FROM generate_series(1, ${count}) AS i`, [backend])
      await knex.raw("INSERT INTO tasks_tags (tag, id) SELECT 'ended', id FROM tasks_results WHERE backend = ?", [backend])
      await knex.raw('ANALYZE tasks_results; ANALYZE tasks_tags') // not the claims: there is never enough in them for that
      await store.insert(Array.from({ length: RUNNING }, () => newRow({ backend, queue: 'default', task: 'known', tags: [backend] })))
      await store.register({ id: backend, backend, leaseMs: 60_000, tasks: ['known'], quarantine: false })
      await store.claim({ worker: backend, claim: 1, backend, lanes: [{ queue: 'default', priority: 0, after: null }], limit: RUNNING, start: RUNNING, tasks: ['known'] })
      for (const [what, filter] of Object.entries(FILTERS)) {
        // Of what the statements explained before this one have left: by chance it would be some of it, or nothing.
        await knex.raw(`VACUUM (INDEX_CLEANUP ON) ${TABLES.join(', ')}`)
        const pages = await pagesOf(knex, async () => { assert.equal((await store.cancel({ backend, ...filter(backend) })).signalled.length, RUNNING) }, 'SELECT 1')
        touched.set(what, [...touched.get(what) ?? [], pages])
      }
    }
    for (const [what, [few, many]] of touched as Map<string, [number, number]>) {
      t.ok(few > RUNNING, 'pages are counted at all')
      t.ok(many <= few * 1.6 + 50, `${what}: ${few} pages at ${FEW}, ${many} at ${MANY}`) // an index may be a level deeper
    }
  })
}

const sqlite = databases.find(({ name }) => name === 'sqlite')
t.test('on sqlite what runs is cancelled from the claims, each row found by its id', { skip: sqlite === undefined && 'without SQLite' }, async (t) => {
  const { knex, store } = await heardSqlite(t)
  const backend = 'default'
  await store.register({ id: 'w', backend, leaseMs: 60_000, tasks: ['known'], quarantine: false })
  await store.insert([newRow({ backend, queue: 'default', task: 'known', tags: [backend] })])
  await store.claim({ worker: 'w', claim: 1, backend, lanes: [{ queue: 'default', priority: 0, after: null }], limit: 1, start: 1, tasks: ['known'] })
  const sent: Sent[] = []
  knex.on('query', ({ sql, bindings }: Sent) => { if (/tasks_results/.test(sql) && !sql.startsWith('EXPLAIN')) sent.push({ sql, bindings }) })
  for (const [what, filter] of Object.entries(FILTERS)) {
    assert.equal((await store.cancel({ backend, ...filter(backend) })).signalled.length, 1)
    const running = sent.splice(0).filter(({ sql }) => /'RUNNING'/.test(sql) && !/'READY'/.test(sql))
    t.ok(running.length >= 1, `${what}: ${running.length} statements`)
    for (const { sql, bindings } of running) {
      const plan = await knex.raw(`EXPLAIN QUERY PLAN ${sql}`, bindings as Knex.RawBinding[]) as Array<{ detail: string }>
      const steps = plan.filter(({ detail }) => /^(SCAN|SEARCH) [rg]\b/.test(detail))
      t.ok(steps.length > 0)
      for (const { detail } of steps) t.match(detail, /^SEARCH r USING INDEX \S+ \(id=\?\)|^SEARCH g USING PRIMARY KEY \(tag=\? AND id=\?\)/, what)
    }
  }
})
