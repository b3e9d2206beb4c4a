import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task, type AnyTask, type DatabaseBackend } from 'fastify-tasks'
import { createWorker, type WorkerOptions } from 'fastify-tasks/worker'
import { Bench } from '#lib/conformance/store/bench.js'
import { openStore } from '#lib/store/index.js'
import { databases, type TestDatabases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'

const ran: string[] = []
const known = task('deploy.known', async (n: number) => { ran.push(`known ${n}`) })
const fresh = task('deploy.fresh', async (n: number) => { ran.push(`fresh ${n}`) })

/** Several apps of one database, each a deploy of its own with the tasks that it knows. */
async function deploys (t: Test, database: TestDatabases, options: Record<string, unknown> = {}): Promise<(tasks: readonly AnyTask[]) => Promise<FastifyInstance>> {
  const { url, close } = await database.open()
  const apps: FastifyInstance[] = []
  ran.length = 0
  t.teardown(async () => {
    await Promise.all(apps.map(async (app) => { await app.close() }))
    await close()
  })
  return async (tasks) => {
    const app = Fastify()
    apps.push(app)
    await app.register(fastifyTasks, { tasks: [...tasks], env: false, backends: { default: { backend: 'database', url, ...options } } })
    await app.ready()
    return app
  }
}

function start (app: FastifyInstance, options: WorkerOptions = {}): () => Promise<void> {
  const worker = createWorker(app, { sweep: '200ms', ...options })
  const ended = worker.run()
  return async () => {
    await worker.stop()
    await ended
  }
}

async function parkedRows (app: FastifyInstance): Promise<number> {
  const { store } = app.tasks.backend() as unknown as DatabaseBackend
  const { queues } = await store.stats('default')
  const { lanes } = await store.lanes({ backend: 'default' })
  return lanes.length === 0 ? queues['default']?.ready ?? 0 : 0
}

for (const database of databases) {
  t.test(`on ${database.name}`, async (t) => {
    t.test('rows of a name that no worker knows stay READY and uncharged, are counted, and leave the lane', async (t) => {
      const deploy = await deploys(t, database)
      const producer = await deploy([known, fresh])
      const old = await deploy([known])
      const strange = await producer.tasks.enqueueMany(fresh, Array.from({ length: 1_500 }, (_, n): [number] => [n]))
      const own = await producer.tasks.enqueueMany(known, [[1], [2]])
      start(old)
      for (const result of own) await result.wait({ timeout: '90s' })
      await eventually(async () => { assert.equal(await parkedRows(old), 1_500) })
      const { unknownTasks, queues } = await old.tasks.stats()
      t.same(unknownTasks, [{ name: 'deploy.fresh', ready: 1_500 }])
      t.match(queues['default'], { ready: 1_500, deferred: 0, running: 0 })
      t.ok((queues['default']?.oldestReadyMs ?? 0) > 0)
      await strange[0]?.refresh()
      t.match(strange[0], { status: 'READY', attempts: 0, startedAt: null })
      t.same(ran, ['known 1', 'known 2'])
      t.equal(await producer.tasks.cancel({ task: 'deploy.fresh' }), 1_500, 'they can be cancelled')
      t.same((await old.tasks.stats()).unknownTasks, [])
    })

    t.test('a deploy that brings the name runs them all, in order, while the old one works on', async (t) => {
      const deploy = await deploys(t, database)
      const producer = await deploy([known, fresh])
      const old = await deploy([known])
      const strange = await producer.tasks.enqueueMany(fresh, Array.from({ length: 30 }, (_, n): [number] => [n]))
      start(old)
      await eventually(async () => { assert.equal(await parkedRows(old), 30) })
      const now = await deploy([known, fresh])
      start(now, { concurrency: 1, interval: '20s' })
      for (const result of strange) await result.wait({ timeout: '90s' })
      t.same(ran, strange.map((_, n) => `fresh ${n}`))
      t.match(strange[0], { status: 'SUCCESSFUL', attempts: 1 })
    })

    t.test('a batch runs what waited for a worker like it', async (t) => {
      const deploy = await deploys(t, database)
      const producer = await deploy([known, fresh])
      const old = await deploy([known])
      await producer.tasks.enqueueMany(fresh, [[1], [2], [3]])
      const stop = start(old)
      await eventually(async () => { assert.equal(await parkedRows(old), 3) })
      await stop()
      await createWorker(producer, { batch: true }).run()
      t.same(ran, ['fresh 1', 'fresh 2', 'fresh 3'])
    })

    t.test('rows of a name that another live worker knows are left where they are', async (t) => {
      const { url, close } = await database.open()
      const store = openStore({ url })
      await store.open()
      t.teardown(async () => { await store.close(); await close() })
      const bench = new Bench({ store, connect: async () => store, close: async () => {} })
      await bench.insert({ task: 'a' }, { task: 'b' }, { task: 'c' })
      await bench.worker({ tasks: ['b'] })
      const lane = { queue: 'default', priority: 0, after: null }
      t.equal(await store.park({ backend: 'default', tasks: ['a'], lanes: [lane], groups: [] }), 1)
      t.same((await store.stats('default')).unknownTasks.map(({ name }) => name), ['a', 'c'])
      t.equal(await store.unpark({ backend: 'default', tasks: ['a', 'b'] }), 0)
      t.equal(await store.unpark({ backend: 'default', tasks: ['c'] }), 1)
      t.equal((await (await bench.worker({ tasks: ['a', 'b', 'c'] })).claim()).length, 3)
    })

    t.test('rows with limits are parked and come back behind their limits', async (t) => {
      const deploy = await deploys(t, database)
      const serial = fresh.using({ concurrencyKey: 'one', concurrencyLimit: 1 })
      const producer = await deploy([known, fresh])
      const old = await deploy([known])
      const strange = [await producer.tasks.enqueue(serial, 1), await producer.tasks.enqueue(serial, 2)]
      const own = await producer.tasks.enqueue(known.using({ concurrencyKey: 'one', concurrencyLimit: 1 }), 3)
      const stop = start(old)
      await own.wait({ timeout: '90s' })
      const { store } = producer.tasks.backend() as unknown as DatabaseBackend
      await eventually(async () => { assert.equal((await store.lanes({ backend: 'default' })).limited, false, 'no look for rows with limits is needed') })
      t.same((await old.tasks.stats()).unknownTasks, [{ name: 'deploy.fresh', ready: 2 }])
      await stop()
      start(producer)
      for (const result of strange) await result.wait({ timeout: '90s' })
      t.same(ran, ['known 3', 'fresh 1', 'fresh 2'])
    })
  })
}
