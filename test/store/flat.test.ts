import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import type { Knex } from 'knex'
import type { KnexStore } from '#lib/store/index.js'
import type { ClaimedRow, Cursor, Lane } from '#lib/store/store.js'
import { databases } from '../support/databases.ts'
import { heardPostgres, heardSqlite } from '../support/heard-stores.ts'
import { pagesOf, type Sent } from '../support/pages.ts'

// What a claim and the look before it cost must not depend on what they do not take. On PostgreSQL that is counted in
// pages touched, on SQLite, which counts nothing, it is seen from the plan.

const [FEW, MANY] = [1_000, 30_000]
const CLAIMED = 50

const postgres = databases.find(({ name }) => name === 'postgres')
t.test('on postgres the pages touched by a look and a claim do not depend on', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { knex, store } = await heardPostgres(t)

  const cases: Record<string, { rows: string, park?: boolean }> = {
    'how many wait': { rows: "1000 + i, 0, true, 'READY', 'default', 'known', NULL" },
    'how many are deferred': { rows: "CASE WHEN i <= 100 THEN 1000 + i ELSE 4000000000000 + i END, 0, true, 'READY', 'default', 'known', NULL" },
    'how many are finished and kept': { rows: "1000 + i, 0, i <= 100, CASE WHEN i <= 100 THEN 'READY' ELSE 'SUCCESSFUL' END, 'default', 'known', NULL" },
    'how many a paused queue holds back': { rows: "1000 + i, 0, true, 'READY', CASE WHEN i <= 100 THEN 'default' ELSE 'paused' END, 'known', NULL" },
    'how many a limit holds back': { rows: "1000 + i, 0, i <= 100, 'READY', 'default', 'known', CASE WHEN i <= 100 THEN NULL ELSE 'limit' END" },
    'how many have a name that no worker knows': { rows: "1000 + i, 0, true, 'READY', 'default', CASE WHEN i > 100 THEN 'ghost' ELSE 'known' END, NULL", park: true }
  }
  for (const [what, { rows, park = false }] of Object.entries(cases)) {
    t.test(what, async (t) => {
      const touched: number[] = []
      for (const count of [FEW, MANY]) {
        const backend = `${what} ${count}`.replaceAll(' ', '-').slice(0, 60)
        await knex.raw(`
          INSERT INTO tasks_results (id, enqueued_at, args, backend, due, priority, claimable, status, queue, task, parked)
          SELECT gen_random_uuid(), 1, '[]', ?, x.due, x.priority, x.claimable, x.status, x.queue, x.task, x.parked FROM (SELECT i, ${rows} FROM generate_series(1, ${count}) AS i ORDER BY i) AS x(i, due, priority, claimable, status, queue, task, parked)`, [backend])
        await store.pause(backend, 'paused')
        await store.register({ id: backend, backend, leaseMs: 60_000, tasks: ['known'], quarantine: false })
        if (park) while (await store.park({ backend, tasks: ['known'], lanes: [{ queue: 'default', priority: 0, after: null }], groups: [] }) > 0);
        touched.push(await pagesOf(knex, async () => {
          const { lanes } = await store.lanes({ backend })
          const wanted = lanes.map((lane): Lane => ({ queue: lane.queue, priority: lane.priority, after: null }))
          assert.deepEqual(wanted.map(({ queue }) => queue), ['default'])
          assert.equal((await claim(store, backend, wanted)).length, CLAIMED)
        }))
      }
      flat(t, touched)
    })
  }

  t.test('how many dead rows an old snapshot keeps', async (t) => {
    const backend = 'dead'
    await store.register({ id: backend, backend, leaseMs: 60_000, tasks: ['known'], quarantine: false })
    const holder = await knex.transaction({ isolationLevel: 'repeatable read' })
    await holder.raw('SELECT 1')
    const touched: number[] = []
    let cursor: Cursor | null = null
    for (const count of [FEW, MANY]) {
      await knex.raw(`
        INSERT INTO tasks_results (id, enqueued_at, args, backend, due, priority, claimable, status, queue, task)
        SELECT gen_random_uuid(), 1, '[]', ?, 1000, 0, true, 'READY', 'default', 'known' FROM generate_series(1, ${count + 2 * CLAIMED})`, [backend])
      // Claimed and finished, as far as the index is concerned.
      await knex.raw(`
        UPDATE tasks_results SET status = 'SUCCESSFUL', claimable = false WHERE backend = ? AND claimable AND seq <= (SELECT max(seq) FROM tasks_results WHERE backend = ?) - ${2 * CLAIMED}`, [backend, backend])
      const { rows: [last] } = await knex.raw("SELECT due, seq FROM tasks_results WHERE backend = ? AND status = 'SUCCESSFUL' ORDER BY seq DESC LIMIT 1", [backend])
      cursor = { due: Number(last.due), tie: Number(last.seq) }
      const known: Lane[] = [{ queue: 'default', priority: 0, after: cursor }]
      touched.push(await pagesOf(knex, async () => {
        const { lanes } = await store.lanes({ backend, known, since: Date.now() - 1_000 })
        assert.equal(lanes.length, 1)
        assert.equal((await claim(store, backend, known)).length, CLAIMED)
      }))
    }
    await holder.rollback()
    flat(t, touched)
  })

  t.test('how many queues and priorities there are, but for a few pages each', async (t) => {
    const touched: number[] = []
    const lanesOf = [2, 100]
    for (const count of lanesOf) {
      const backend = `lanes-${count}`
      await knex.raw(`
        INSERT INTO tasks_results (id, enqueued_at, args, backend, due, priority, claimable, status, queue, task)
        SELECT gen_random_uuid(), 1, '[]', ?, 1000 + i, 0, true, 'READY', 'q' || (i % ${count}), 'known' FROM generate_series(1, 10000) AS i`, [backend])
      await store.register({ id: backend, backend, leaseMs: 60_000, tasks: ['known'], quarantine: false })
      touched.push(await pagesOf(knex, async () => {
        const { lanes } = await store.lanes({ backend })
        assert.equal(lanes.length, count)
        assert.ok((await claim(store, backend, lanes.map(({ queue, priority }) => ({ queue, priority, after: null })), 8 + Math.ceil(2 * CLAIMED / count))).length > CLAIMED / 2)
      }))
    }
    const [few, many] = touched as [number, number]
    t.ok((many - few) / (100 - 2) < 60, `${few} and ${many} pages`)
  })
})

const sqlite = databases.find(({ name }) => name === 'sqlite')
t.test('on sqlite every step of a look and a claim goes through an index, bounded by backend, queue and priority', { skip: sqlite === undefined && 'without SQLite' }, async (t) => {
  const { knex, store } = await heardSqlite(t)
  const sent: Sent[] = []
  knex.on('query', ({ sql, bindings }: Sent) => { sent.push({ sql, bindings }) })
  await store.register({ id: 'w', backend: 'default', leaseMs: 60_000, tasks: ['known'], quarantine: false })
  await store.insert([{ id: '01900000-0000-7000-8000-000000000001', backend: 'default', task: 'known', queue: 'default', priority: 0, runAfter: null, delay: null, args: '[]', options: null, tags: [], unique: null, maxReady: null }])
  await store.lanes({ backend: 'default' })
  await claim(store, 'default', [{ queue: 'default', priority: 0, after: null }])
  const steps: string[] = []
  for (const { sql, bindings } of sent.filter(({ sql }) => /tasks_results/.test(sql) && /^\s*(WITH|SELECT|UPDATE|INSERT INTO .*tasks_claims)/.test(sql))) {
    for (const { detail } of await knex.raw(`EXPLAIN QUERY PLAN ${sql}`, bindings as Knex.RawBinding[]) as Array<{ detail: string }>) if (/\b[rl]\b/.test(detail) && /SCAN|SEARCH/.test(detail)) steps.push(detail)
  }
  t.ok(steps.length >= 5, steps.join('\n'))
  for (const step of steps.filter((step) => /(SCAN|SEARCH) r\b/.test(step))) t.match(step, /^SEARCH r USING (COVERING )?INDEX \S+ \(backend=\?|^SEARCH r USING (INDEX \S+ \(id=\?|INTEGER PRIMARY KEY \(rowid=\?)/)
})

let claims = 0
async function claim (store: KnexStore, backend: string, lanes: readonly Lane[], most?: number): Promise<ClaimedRow[]> {
  const worker = backend === 'default' ? 'w' : backend
  return await store.claim({ worker, claim: ++claims, backend, lanes, limit: CLAIMED, ...(most !== undefined && { most }), start: CLAIMED, tasks: ['known'] })
}

function flat (t: Test, [few, many]: number[]): void {
  // An index that holds thirty times as much is a level deeper, and each row that is changed has an entry in two.
  t.ok((many as number) <= (few as number) * 1.6 + 100, `${few} pages at ${FEW}, ${many} at ${MANY}`)
  t.ok((few as number) > CLAIMED, 'pages are counted at all')
}
