import t from 'tap'
import { BaseTaskBackend, DummyBackend, ImmediateBackend, type BackendClass, type EnqueueRequest, type TaskResult } from 'fastify-tasks'
import { testBackend, testStore, type Store } from 'fastify-tasks/testing'
import { openStore } from '#lib/store/index.js'
import { databases } from '../support/databases.ts'

// A suite is worth what it refuses: each of these stores and backends breaks one promise, and must fail a test that is
// about it.

type Body = () => Promise<void>
type Verbs = { [Verb in keyof Store]?: (store: Store, ...args: any[]) => unknown }

const BROKEN_STORES: ReadonlyArray<readonly [what: string, about: RegExp, verbs: Verbs, only?: string]> = [
  ['claims without a limit', /no more rows are claimed/, { claim: async (store, request) => await store.claim({ ...request, limit: 1_000 }) }],
  ['claims what was enqueued last first', /enqueued first is claimed first/, { claim: async (store, request) => (await store.claim(request)).reverse() }],
  ['forgets who claimed', /claims that a worker has/, { renew: async (store, worker, request) => ({ ...await store.renew(worker, request), claims: [] }) }],
  ['takes every row of a dead worker for started', /not started are handed back uncharged/, { claim: async (store, request) => await store.claim({ ...request, start: request.limit }) }],
  ['never fences a dead worker', /two rescuers at the same moment/, { rescue: async () => ({ workers: [], charged: [], released: [] }) }],
  ['forgives deaths without end', /spends the crash budget/, { rescue: async (store, request) => await store.rescue({ ...request, crashBudget: 1_000 }) }],
  ['finishes whoever asks', /holds nothing changes nothing/, {
    finish: async (store, _worker, endings, ended) => {
      const rows = await store.getMany(endings.map(({ id }: { id: string }) => id))
      const answers = await Promise.all(rows.map(async (row) => await store.finish(row.workerIds.at(-1) ?? '', endings.map((ending: { claim: number }) => ({ ...ending, claim: 1 })), ended)))
      return answers.flat()
    }
  }],
  ['drops an ending', /endings of every kind/, { finish: async (store, worker, endings, ended) => await store.finish(worker, endings.slice(1), ended) }],
  ['releases nothing', /handed back uncharged, READY/, { release: async (_store, _worker, rows) => rows.map(({ id }: { id: string }) => id) }],
  ['commits what was to roll back', /rolls back never existed/, {
    begin: async (store) => {
      const open = await store.begin()
      return { ...open, transaction: open.transaction, commit: async () => { await open.commit() }, rollback: async () => { await open.commit() } }
    }
  }],
  ['inserts past the transaction', /rolls back never existed/, { insert: async (store, rows) => await store.insert(rows) }, 'postgres'], // on SQLite it would wait for itself
  ['inserts the first of many', /many rows are stored/, { insert: async (store, rows, options) => await store.insert(rows.slice(0, 1), options) }],
  ['ignores unique keys', /fifty inserts of one key/, { insert: async (store, rows, options) => await store.insert(rows.map((row: object) => ({ ...row, unique: null })), options) }],
  ['runs deferred rows at once', /no row is claimed before it is due/, { insert: async (store, rows, options) => await store.insert(rows.map((row: object) => ({ ...row, delay: null, runAfter: null })), options) }],
  ['cancels by id whatever the backend', /nor one of another backend/, {
    cancel: async (store, selection) => {
      const row = 'id' in selection ? await store.get(selection.id) : null
      return await store.cancel({ ...selection, backend: row?.backend ?? selection.backend })
    }
  }],
  ['cancels nothing that runs', /goes on, and its worker is told/, { cancel: async (store, selection) => ({ ...await store.cancel(selection), signalled: [] }) }],
  ['puts nothing back', /is READY and due now/, { requeue: async () => [] }],
  ['does not pause', /a paused queue gives nothing/, { pause: async () => {} }],
  ['prunes without a limit', /pruning goes in batches/, { prune: async (store, request) => await store.prune({ ...request, limit: 1_000 }) }],
  ['prunes whatever its age', /not old enough stay/, { prune: async (store, request) => await store.prune({ ...request, minAgeMs: 0, failedMinAgeMs: 0 }) }],
  ['repeats a page', /pages that neither repeat/, { list: async (store, { after, ...filter }) => await store.list(filter) }],
  ['trims what it stores', /text of every kind/, { progress: async (store, worker, row, value) => await store.progress(worker, row, value.slice(0, 100)) }],
  ['counts nothing', /figures count/, { stats: async () => ({ queues: {}, workers: [], unknownTasks: [], approximate: false }) }],
  ['runs tasks that the worker does not know', /does not know stays READY/, { claim: async (store, request) => await store.claim({ ...request, tasks: ['ghost', ...request.tasks] }) }],
  ['lets every worker have what kills', /claimed only by who gives it a process/, {
    lanes: async (store, request) => {
      const both = await Promise.all([store.lanes(request), store.lanes({ ...request, quarantined: true })])
      return { now: both[0].now, lanes: both.flatMap(({ lanes }) => lanes) }
    },
    claim: async (store, request) => [...await store.claim(request), ...await store.claim({ ...request, claim: Number(request.claim) + 1_000, quarantined: true })]
  }]
]

for (const [what, about, verbs, only] of BROKEN_STORES) {
  const database = databases.find(({ name }) => only === undefined || name === only)
  if (database === undefined) continue // TASKS_TEST_ONLY leaves it out
  t.test(`the store's suite refuses a store that ${what}`, async (t) => {
    const tests = new Map<string, Body>()
    testStore({
      test: (name, body) => { tests.set(name, body) },
      async open () {
        const { url, close } = await database.open({ keepTables: true })
        const stores: Store[] = []
        const connect = async (): Promise<Store> => {
          const store = openStore({ url })
          stores.push(store)
          await store.open()
          return broken(store, verbs)
        }
        return { store: await connect(), connect, close: async () => { await Promise.all(stores.map(async (store) => { await store.close() })); await close() } }
      }
    })
    await refusedBy(t, tests, about)
  })
}

class Losing extends DummyBackend {
  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> { return await super.enqueue(requests.slice(0, 30)) }
}
class Reversing extends DummyBackend {
  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> { return (await super.enqueue(requests)).reverse() }
}
class Forgetting extends DummyBackend {
  override async getResult (id: string): Promise<TaskResult> { this.clear(); return await super.getResult(id) }
}
class Boasting extends BaseTaskBackend {
  override readonly supportsGetResult = true
  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> { return requests.map((request) => this.createResult(request, { enqueuedAt: new Date() })) }
}
class Twice extends ImmediateBackend {
  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> { await super.enqueue(requests); return await super.enqueue(requests) }
}

const BROKEN_BACKENDS: ReadonlyArray<readonly [what: string, about: RegExp, backend: BackendClass, runs: boolean]> = [
  ['loses some of many', /many enqueues at once/, Losing, false],
  ['answers in another order', /many enqueues at once/, Reversing, false],
  ['forgets what it holds', /supportsGetResult tells the truth/, Forgetting, false],
  ['says that it can read and cannot', /supportsGetResult tells the truth/, Boasting, false],
  ['runs everything twice', /each of many is run once/, Twice, true],
  ['runs what it should only take down', /nothing is run/, ImmediateBackend, false]
]

for (const [what, about, backend, runs] of BROKEN_BACKENDS) {
  t.test(`the backend's suite refuses a backend that ${what}`, async (t) => {
    const tests = new Map<string, Body>()
    testBackend({ test: (name, body) => { tests.set(name, body) }, runs, create: async () => ({ definition: { backend }, close: async () => {} }) })
    await refusedBy(t, tests, about)
  })
}

/** At least one of the tests that are about it fails, by an assertion or by what was thrown. */
async function refusedBy (t: { ok: (value: unknown, message: string) => unknown }, tests: ReadonlyMap<string, Body>, about: RegExp): Promise<void> {
  const chosen = [...tests].filter(([name]) => about.test(name))
  t.ok(chosen.length > 0, 'there are tests about it')
  const results = await Promise.allSettled(chosen.map(async ([, body]) => { await body() }))
  t.ok(results.some(({ status }) => status === 'rejected'), `one of these fails: ${chosen.map(([name]) => name).join('; ')}`)
}

/** The store, but for these verbs. */
function broken (store: Store, verbs: Verbs): Store {
  return new Proxy(store, {
    get (target, property) {
      const replaced = verbs[property as keyof Store]
      if (replaced !== undefined) return async (...args: unknown[]) => await replaced(target, ...args)
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}
