import t, { type Test } from 'tap'
import pg from 'pg'
import { openStore } from '#lib/store/index.js'
import type { ClaimRequest, Store } from '#lib/store/store.js'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { ROW_BY_ROW } from '../support/heard-stores.ts'

const { query } = pg.Client.prototype
const postgres = databases.find(({ name }) => name === 'postgres')

const LOOKS = 200
const PLANNED_FIRST = 15 // by PostgreSQL, on each connection: five of each name before it thinks of keeping a plan

t.test('a look for lanes is planned a few times a connection, and not each time it is sent, though the tables were empty at first', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { store, plansOf, connections } = await openHeard(t)
  const look = async (): Promise<unknown> => await store.lanes({ backend, known: [{ queue: 'default', priority: 0, after: null }], since: 0 })
  for (let empty = 0; empty < 4; empty++) await look()
  await fill(store)
  await plannedRarely(t, { times: LOOKS, work: look, plans: async () => await plansOf('known_queue'), connections })
})

t.test('a claim of whatever lanes there are is planned a few times a connection, also where a worker has queues of its own', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  await claimedRarely(t, () => ({ lanes: { only: ['default'], except: ['other'] }, limit: 10 }))
})

t.test('a claim is planned a few times a connection, however small a part of what waits it takes', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  // Of every size up to a bound: each is the same statement.
  await claimedRarely(t, (claim) => ({ lanes: [{ queue: 'default', priority: 0, after: null }], limit: 1 + claim % 30 }))
})

t.test('an insert under a unique key is planned a few times a connection', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { store, plansOf, connections } = await openHeard(t)
  let key = 0
  await plannedRarely(t, {
    times: LOOKS,
    work: async () => await store.insert([newRow({ backend, tags: ['a'], unique: { key: String(++key), scope: 'unfinished', onConflict: 'return' } })]),
    plans: async () => await plansOf('NOT EXISTS (SELECT 1 FROM "tasks_results" o'),
    connections
  })
})

for (const [what, words] of [['look for rows with limits', 'FROM groups g'], ['claim of them', 'waiting AS']] as const) {
  t.test(`a ${what} is planned a few times a connection`, { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
    const { store, plansOf, connections } = await openHeard(t)
    const tasks = [newRow().task]
    await store.register({ id: 'w', backend, leaseMs: 600_000, tasks, quarantine: false })
    for (let rows = 0; rows < LOOKS; rows += 50) await store.insert(Array.from({ length: 50 }, (_, row) => newRow({ backend, limits: { key: `${rows + row}`, concurrency: 1, rate: null } })))
    let [claim, claimed] = [0, 0]
    const work = async (): Promise<void> => {
      const { heads } = await store.limitedHeads({ backend, tasks, after: null })
      const { rows } = await store.claimLimited({ worker: 'w', claim: ++claim, backend, heads: heads.slice(0, 1), lanes: [], limit: 1, tasks, queues: new Map() })
      claimed += rows.length
    }
    await plannedRarely(t, { times: LOOKS, work, plans: async () => await plansOf(words), connections })
    t.equal(claimed, LOOKS)
  })
}

const backend = 'default'

interface Plans { custom: number, generic: number }

/** A store with its connections, each of which knows its own plans. */
async function openHeard (t: Test): Promise<{ store: Store, clients: Set<pg.Client>, plansOf: (words: string) => Promise<Plans>, connections: () => number, analyze: () => Promise<void> }> {
  const { url, close } = await (postgres as NonNullable<typeof postgres>).open()
  t.teardown(close)
  const store = openStore({ url })
  const clients = new Set<pg.Client>()
  t.intercept(pg.Client.prototype, 'query', { value: function (this: pg.Client, ...args: Parameters<typeof query>) { clients.add(this); return query.apply(this, args) } })
  await store.open()
  t.teardown(async () => { await store.close() })
  const plansOf = async (words: string): Promise<Plans> => {
    const counts = { custom: 0, generic: 0 }
    for (const client of [...clients]) {
      const { rows: [row] } = await client.query('SELECT coalesce(sum(custom_plans), 0)::int AS custom, coalesce(sum(generic_plans), 0)::int AS generic FROM pg_prepared_statements WHERE statement LIKE $1', [`%${words}%`])
      counts.custom += row.custom
      counts.generic += row.generic
    }
    return counts
  }
  return { store, clients, plansOf, connections: () => clients.size, analyze: async () => { await [...clients][0]?.query('ANALYZE') } }
}

async function fill (store: Store): Promise<void> {
  for (let rows = 0; rows < 5_000; rows += 1_000) await store.insert(Array.from({ length: 1_000 }, () => newRow({ backend })))
}

async function claimedRarely (t: Test, requestOf: (claim: number) => Pick<ClaimRequest, 'lanes' | 'limit'>): Promise<void> {
  const { store, plansOf, connections, analyze } = await openHeard(t)
  await fill(store)
  await analyze()
  const tasks = [newRow({ backend }).task]
  await store.register({ id: 'w', backend, leaseMs: 600_000, tasks, quarantine: false })
  let [claim, asked, claimed] = [0, 0, 0]
  await plannedRarely(t, {
    times: LOOKS,
    work: async () => {
      const request = requestOf(++claim)
      asked += request.limit
      claimed += (await store.claim({ worker: 'w', claim, backend, ...request, start: 0, tasks })).length
    },
    plans: async () => await plansOf('taken AS'),
    connections
  })
  t.equal(claimed, asked, 'and each took what it was to take')
}

interface Rarely { times: number, work: () => Promise<unknown>, plans: () => Promise<Plans>, connections: () => number }

async function plannedRarely (t: Test, { times, work, plans, connections }: Rarely): Promise<void> {
  const before = await plans()
  for (let time = 0; time < times; time++) await work()
  const after = await plans()
  const planned = after.custom - before.custom
  const most = PLANNED_FIRST * connections()
  t.ok(planned <= most, `of ${times} ${planned} were planned, on ${connections()} connections`)
  t.equal(after.generic - before.generic, times - planned)
  t.ok(most < times / 2, 'so most were not')
}

// What is planned once is planned while the tables are as they were at that moment, and used when they have grown. But for the
// endings of plain successes: no way was found to have PostgreSQL look the rows of an UPDATE up one by one and not cost more;
// docs/performance.md says how long that may last.
t.test('of what is planned once only the endings of plain successes read the rows without a condition, whatever there was when it was planned', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { store, clients } = await openHeard(t)
  const [client] = clients as Set<pg.Client> & Iterable<pg.Client>
  if (client === undefined) throw new Error('The store has no connection.')
  const { rows: [version] } = await client.query("SELECT current_setting('server_version_num')::int AS number")
  if (version.number < 160_000) return t.comment('this PostgreSQL does not tell generic plans')
  const statements = new Map<string, string>()
  const hear = async (): Promise<void> => {
    for (const each of clients) {
      const { rows } = await each.query("SELECT name, statement FROM pg_prepared_statements WHERE name LIKE 'fastify_tasks_%'")
      for (const { name, statement } of rows) if (!statement.includes(ENDINGS)) statements.set(name, statement)
    }
  }
  await sendAll(store)
  await hear()
  t.ok(statements.size > 10, `${statements.size} statements`)
  for (const state of ['DELETE FROM tasks_results', 'VACUUM ANALYZE', fewRows(3), 'VACUUM ANALYZE']) {
    await client.query(state)
    for (const statement of statements.values()) {
      const { rows: [{ 'QUERY PLAN': [{ Plan: plan }] }] } = await client.query(`EXPLAIN (GENERIC_PLAN, FORMAT JSON) ${statement}`)
      t.same(wholeScans(plan), [], `${state.slice(0, 30)}: ${statement.replace(/\s+/g, ' ').trim().slice(0, 60)}`)
    }
  }
})

const ENDINGS = "SET status = 'SUCCESSFUL', finished_at = n.at"

/** What a store does, so that each text is prepared. */
async function sendAll (store: Store): Promise<void> {
  const tasks = [newRow().task]
  await store.register({ id: 'w', backend, leaseMs: 600_000, tasks, quarantine: false })
  await store.insert([newRow({ backend }), newRow({ backend })])
  await store.insert([newRow({ backend }), newRow({ backend, task: 'another', tags: ['a'] })])
  const unique = { key: 'k', scope: 'unfinished', onConflict: 'return' } as const
  for (let time = 0; time < 2; time++) await store.insert([newRow({ backend, tags: ['a'], unique })])
  await store.lanes({ backend, known: [{ queue: 'default', priority: 0, after: null }], since: 0 })
  const claim = { worker: 'w', backend, limit: 10, start: 0, tasks }
  const rows = await store.claim({ ...claim, claim: 1, lanes: [{ queue: 'default', priority: 0, after: null }] })
  await store.claim({ ...claim, claim: 2, lanes: { only: null, except: [] }, unlessLimited: true })
  await store.finish('w', rows.map(({ id }) => ({ id, claim: 1, status: 'SUCCESSFUL', returnValue: 'null' })), [1])
  await store.ended(rows.map(({ id }) => id))
  await store.insert(['a', 'b'].map((key) => newRow({ backend, limits: { key, concurrency: 1, rate: null } })))
  await store.markStarted({ worker: 'w', claim: 1 }, 1)
  await store.cancelled('w')
  await store.get(rows[0]?.id as string)
  await store.claim({ ...claim, claim: 4, lanes: [{ queue: 'default', priority: 0, after: null }], quarantined: true, unlessLimited: true })
  await store.lanes({ backend, quarantined: true, known: [], since: null })
  await store.limitedHeads({ backend, tasks, quarantined: true, after: null })
  const { heads } = await store.limitedHeads({ backend, tasks, after: null })
  await store.claimLimited({ worker: 'w', claim: 3, backend, heads, lanes: [{ queue: 'default', priority: 0, after: null }], limit: 10, tasks, queues: new Map() })
}

function fewRows (count: number): string {
  return `INSERT INTO tasks_results (id, due, enqueued_at, priority, claimable, status, backend, queue, task, args)
    SELECT gen_random_uuid(), 1, 1, 0, true, 'READY', '${backend}', 'default', 'test', '[]' FROM generate_series(1, ${count})`
}

interface Plan { 'Node Type': string, 'Relation Name'?: string, 'Index Name'?: string, 'Index Cond'?: string, Plans?: Plan[] }

/** Scans of the table of results that no condition bounds. */
function wholeScans (plan: Plan): string[] {
  const bitmap = plan['Node Type'] === 'Bitmap Index Scan' && plan['Index Name']?.startsWith('tasks_results') === true
  const scans = (bitmap || (/Seq Scan|Index/.test(plan['Node Type']) && plan['Relation Name'] === 'tasks_results')) && plan['Index Cond'] === undefined
  return [...scans ? [plan['Node Type']] : [], ...(plan.Plans ?? []).flatMap(wholeScans)]
}

// A sub-query that is joined is then run again for each row.
t.test('a prune deletes no more than a batch, though PostgreSQL goes row by row through all that it joins', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { url, close } = await (postgres as NonNullable<typeof postgres>).open()
  t.teardown(close)
  const slow = new URL(url)
  slow.searchParams.set('options', ROW_BY_ROW)
  const store = openStore({ url: slow.href })
  await store.open()
  t.teardown(async () => { await store.close() })
  const rows = await store.insert(Array.from({ length: 7 }, () => newRow({ backend })))
  await store.cancel({ backend })
  const request = { backend, minAgeMs: 0, failedMinAgeMs: 0, limit: 3 }
  t.same(await store.prune(request), { deleted: 3, after: rows[2]?.row.id })
  t.equal(await store.countPrunable(request), 4, 'the others are there')
})
