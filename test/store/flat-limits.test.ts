import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import type { Knex } from 'knex'
import type { KnexStore } from '#lib/store/index.js'
import type { LimitedClaim } from '#lib/store/store.js'
import { databases } from '../support/databases.ts'
import { heardPostgres, heardSqlite } from '../support/heard-stores.ts'
import { pagesOf, type Sent } from '../support/pages.ts'

// What rows with limits cost must not depend on how many of a key wait, nor, beyond the groups of one look, on how many
// keys there are. Counted in pages on PostgreSQL; on SQLite, which counts nothing, seen from the plan.

const CLAIMED = 10
const tasks = ['known']

const postgres = databases.find(({ name }) => name === 'postgres')
t.test('on postgres the pages touched do not depend on', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { knex, store } = await heardPostgres(t)

  const backendWith = async (count: number, keyOf: string): Promise<string> => {
    const backend = `${count}-keys-${keyOf.length}`
    await insert(knex, backend, count, keyOf)
    await store.register({ id: backend, backend, leaseMs: 60_000, tasks, quarantine: false })
    return backend
  }

  t.test('how many rows of one key wait: neither for a claim of that key, nor for one of others', async (t) => {
    const ofKey: number[] = []
    const ofOthers: number[] = []
    for (const count of [100, 100_000]) {
      const backend = await backendWith(count, "'k'")
      ofKey.push(await pagesOf(knex, async () => { assert.equal((await claimLimited(store, backend)).rows.length, 1) }))
      await knex.raw(`
        INSERT INTO tasks_results (id, enqueued_at, args, backend, due, priority, claimable, status, queue, task)
        SELECT gen_random_uuid(), 1, '[]', ?, 1000 + i, 0, true, 'READY', 'default', 'known' FROM generate_series(1, 100) AS i`, [backend])
      ofOthers.push(await pagesOf(knex, async () => {
        const { lanes, limited } = await store.lanes({ backend })
        assert.deepEqual([lanes.length, limited], [1, true])
        const lane = { queue: 'default', priority: 0, after: null }
        assert.equal((await store.claim({ worker: backend, claim: 9, backend, lanes: [lane], limit: CLAIMED, start: CLAIMED, tasks })).length, CLAIMED)
      }))
    }
    flat(t, ofKey, 'a claim of the key')
    flat(t, ofOthers, 'a claim of others')
  })

  t.test('how many keys there are beyond 500, which is what one look takes', async (t) => {
    const touched: number[] = []
    for (const count of [500, 2_000]) {
      const backend = await backendWith(count, "'k' || i")
      touched.push(await pagesOf(knex, async () => { assert.equal((await claimLimited(store, backend)).rows.length, CLAIMED) }))
    }
    flat(t, touched, 'a claim')
    t.ok((touched[0] as number) / 500 < 60, `${touched[0]} pages: a bounded number for each key`)
  })

  const late: Record<string, { rows: string, moved: number }> = {
    'how many rows have ended, to put those that wait behind the limits of their queue': { rows: "i <= 20, 'default', i % 2 = 0", moved: 20 },
    'how many rows of other queues wait, to do so': { rows: "true, CASE WHEN i <= 20 THEN 'default' ELSE 'other' END, i % 2 = 0", moved: 20 },
    'how many rows of the queue wait, to do so with a thousand': { rows: "true, 'default', i % 2 = 0", moved: 1_000 }
  }
  for (const [what, { rows, moved }] of Object.entries(late)) {
    t.test(what, async (t) => {
      const touched: number[] = []
      for (const count of [1_000, 30_000]) {
        const backend = `${what} ${count}`
        await knex.raw(`
          INSERT INTO tasks_results (id, enqueued_at, args, backend, due, priority, claimable, status, queue, task, quarantined)
          SELECT gen_random_uuid(), 1, '[]', ?, 1000 + x.i, 0, x.claimable, CASE WHEN x.claimable THEN 'READY' ELSE 'SUCCESSFUL' END, x.queue, 'known', x.quarantined
          FROM (SELECT i, ${rows} FROM generate_series(1, ${count}) AS i ORDER BY i DESC) AS x(i, claimable, queue, quarantined)`, [backend])
        await knex.raw('ANALYZE tasks_results')
        const before = `UPDATE tasks_results SET claimable = true, parked = NULL, waiting = NULL, limit_group = NULL, limits = NULL WHERE backend = '${backend}' AND parked = 'limit'`
        touched.push(await pagesOf(knex, async () => { assert.equal(await store.limitQueues(backend, ['default']), moved) }, before))
      }
      flat(t, touched, 'from the index')
      t.ok((touched[0] as number) / moved < 60, `${touched[0]} pages: a bounded number for each row`)
    })
  }
})

const sqlite = databases.find(({ name }) => name === 'sqlite')
t.test('on sqlite every step of a look and a claim of rows with limits goes through an index', { skip: sqlite === undefined && 'without SQLite' }, async (t) => {
  const { knex, store } = await heardSqlite(t)
  await store.register({ id: 'w', backend: 'w', leaseMs: 60_000, tasks, quarantine: false })
  const limits = { key: 'k', concurrency: 1, rate: null }
  const row = { backend: 'w', task: 'known', queue: 'default', priority: 0, runAfter: null, delay: null, args: '[]', options: null, tags: [], unique: null, maxReady: null, limits }
  await store.insert([{ ...row, id: '01900000-0000-7000-8000-000000000001' }])
  const sent: Sent[] = []
  knex.on('query', ({ sql, bindings }: Sent) => { if (/tasks_results/.test(sql) && /^\s*(WITH|SELECT|UPDATE)/.test(sql)) sent.push({ sql, bindings }) })
  assert.equal((await claimLimited(store, 'w')).rows.length, 1)
  const seen = sent.splice(0)
  t.ok(seen.length >= 4, `${seen.length} statements`)
  const steps: string[] = []
  for (const { sql, bindings } of seen) {
    for (const { detail } of await knex.raw(`EXPLAIN QUERY PLAN ${sql}`, bindings as Knex.RawBinding[]) as Array<{ detail: string }>) if (/^(SCAN|SEARCH) [rxf]\b/.test(detail)) steps.push(detail)
  }
  t.ok(steps.length >= 8, steps.join('\n'))
  for (const step of steps) t.match(step, /^SEARCH \w USING (COVERING )?INDEX \S+ \((backend=\?|id=\?)|^SEARCH \w USING INTEGER PRIMARY KEY/)
})

t.test('on sqlite rows are put behind the limits of their queue from the two indexes of what is claimable, in their order', { skip: sqlite === undefined && 'without SQLite' }, async (t) => {
  const { knex, store } = await heardSqlite(t)
  const sent: Sent[] = []
  knex.on('query', ({ sql, bindings }: Sent) => { if (/tasks_results/.test(sql)) sent.push({ sql, bindings }) })
  await store.limitQueues('default', ['a'])
  const [{ sql, bindings }] = sent as [Sent]
  const steps = (await knex.raw(`EXPLAIN QUERY PLAN ${sql}`, bindings as Knex.RawBinding[]) as Array<{ detail: string }>).map(({ detail }) => detail)
  t.same(steps.filter((step) => /^(SCAN|SEARCH) (r|tasks_results)\b/.test(step)).sort(), [
    'SEARCH r USING INDEX tasks_results_claim (backend=? AND queue=?)',
    'SEARCH r USING INDEX tasks_results_quarantine (backend=? AND queue=?)',
    'SEARCH tasks_results USING INDEX sqlite_autoindex_tasks_results_1 (id=?)'
  ])
  t.equal(steps.filter((step) => /TEMP B-TREE/.test(step)).length, 1, 'the two are put together')
})

/** Look, and claim what may start, as a worker does. */
async function claimLimited (store: KnexStore, backend: string): Promise<LimitedClaim> {
  const { heads } = await store.limitedHeads({ backend, tasks, after: null })
  return await store.claimLimited({ worker: backend, claim: 1, backend, heads, lanes: [], limit: CLAIMED, tasks, queues: new Map() })
}

/** Waiting rows under serial keys; `keyOf` is SQL. */
async function insert (knex: Knex, backend: string, count: number, keyOf: string): Promise<void> {
  await knex.raw(`
    INSERT INTO tasks_results (id, enqueued_at, args, backend, due, priority, claimable, status, queue, task, parked, waiting, limit_group, concurrency_key, concurrency_limit, limits)
    SELECT gen_random_uuid(), 1, '[]', ?, 1000 + x.i, 0, false, 'READY', 'default', 'known', 'limit', x.key, x.key, x.key, 1, '{"key":"' || x.key || '","concurrency":1}'
    FROM (SELECT i, ${keyOf} AS key FROM generate_series(1, ${count}) AS i) AS x`, [backend])
}

function flat (t: Test, [few, many]: number[], what: string): void {
  t.ok((few as number) > 10, 'pages are counted at all')
  t.ok((many as number) <= (few as number) * 1.6 + 50, `${few} and ${many} pages: ${what}`) // an index may be a level deeper
}
