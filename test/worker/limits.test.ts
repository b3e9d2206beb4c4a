import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import { setTimeout as pause } from 'node:timers/promises'
import fastifyTasks, { task, type AnyTask, type TaskResult } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { databases, type TestDatabases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'

// The poll is far away: what follows must follow because something woke the worker.
const WORKER = { concurrency: 4, interval: '20s', sweep: '20s' }

/** Counts how many attempts run at a time, and when each began. */
class Traffic {
  readonly order: number[] = []
  readonly starts: number[] = []
  most = 0
  #running = 0

  async run (number: number, ms = 10): Promise<void> {
    this.order.push(number)
    this.starts.push(performance.now())
    this.#running += 1
    this.most = Math.max(this.most, this.#running)
    await pause(ms)
    this.#running -= 1
  }
}

async function apps (t: Test, database: TestDatabases, tasks: readonly AnyTask[], queues?: Record<string, object>): Promise<FastifyInstance[]> {
  const { url, close } = await database.open()
  const made: FastifyInstance[] = []
  t.teardown(async () => {
    await Promise.all(made.map(async (app) => await app.close()))
    await close()
  })
  for (let index = 0; index < 2; index++) {
    const app = Fastify()
    made.push(app)
    await app.register(fastifyTasks, { tasks: [...tasks], env: false, backends: { default: { backend: 'database', url, ...(queues !== undefined && { queues }) } } })
    await app.ready()
  }
  return made
}

function work (all: readonly FastifyInstance[]): void {
  for (const app of all) createWorker(app, WORKER).run().catch(() => {})
}

for (const database of databases) {
  t.test(`on ${database.name}`, async (t) => {
    t.test('two workers run the tasks of a serial key one at a time and in order, woken by each end', async (t) => {
      const traffic = new Traffic()
      const step = task('test.step', { concurrencyKey: 'order-1' }, async (number: number) => { await traffic.run(number) })
      const both = await apps(t, database, [step])
      const results = await both[0]!.tasks.enqueueMany(step, Array.from({ length: 12 }, (_, index): [number] => [index]))
      work(both)
      for (const result of results) await result.wait({ timeout: '90s' })
      t.equal(traffic.most, 1)
      t.same(traffic.order, results.map((_, index) => index))
    })

    t.test('a retry of a serial key comes before the tasks behind it', async (t) => {
      const order: string[] = []
      const flaky = task('test.flaky', { takesContext: true, retry: { limit: 1, delay: 50, jitter: 0 } }, async ({ attempt }, name: string) => {
        order.push(`${name}${attempt}`)
        if (name === 'a' && attempt === 1) throw new Error('not yet')
      })
      const both = await apps(t, database, [flaky])
      const keyed = flaky.using({ concurrencyKey: 'k', concurrencyLimit: 1 })
      const results = await both[0]!.tasks.enqueueMany(keyed, [['a'], ['b'], ['c']])
      work(both)
      for (const result of results) await result.wait({ timeout: '90s' })
      t.same(order, ['a1', 'a2', 'b1', 'c1'])
    })

    t.test('a key of two runs two at a time, and other tasks beside them', async (t) => {
      const [keyed, free] = [new Traffic(), new Traffic()]
      const held = task('test.held', async (number: number) => { await keyed.run(number, 30) })
      const plain = task('test.plain', async (number: number) => { await free.run(number, 1) })
      const both = await apps(t, database, [held, plain])
      const results = [
        ...await both[0]!.tasks.enqueueMany(held.using({ concurrencyKey: 'tenant-1', concurrencyLimit: 2 }), Array.from({ length: 10 }, (_, index): [number] => [index])),
        ...await both[0]!.tasks.enqueueMany(plain, Array.from({ length: 10 }, (_, index): [number] => [index]))
      ]
      work(both)
      for (const result of results) await result.wait({ timeout: '90s' })
      t.equal(keyed.most, 2)
      t.equal(free.order.length, 10)
    })

    t.test('an attempt that ignores its timeout keeps its key until it has settled, and its ending with it', async (t) => {
      const traffic = new Traffic()
      const deaf = task('test.deaf', { concurrencyKey: 'k', timeoutGrace: 20 }, async (number: number) => { await traffic.run(number, number === 0 ? 600 : 1) })
      const both = await apps(t, database, [deaf])
      const results = [await both[0]!.tasks.enqueue(deaf.using({ timeout: 50 }), 0), await both[0]!.tasks.enqueue(deaf, 1)]
      for (const app of both) createWorker(app, { ...WORKER, interval: '100ms' }).run().catch(() => {})
      for (const result of results) await result.wait({ timeout: '90s' })
      t.same(results.map(({ status }) => status), ['FAILED', 'SUCCESSFUL'])
      t.match(results[0], { attempts: 1, errors: [{ code: 'FST_TASKS_TIMEOUT' }] })
      t.equal(traffic.most, 1)
    })

    t.test('a queue runs no more at a time than its limit, over all workers', async (t) => {
      const traffic = new Traffic()
      const step = task('test.step', { queueName: 'small' }, async (number: number) => { await traffic.run(number, 20) })
      const both = await apps(t, database, [step], { small: { concurrencyLimit: 3 }, default: {} })
      const results = await both[0]!.tasks.enqueueMany(step, Array.from({ length: 15 }, (_, index): [number] => [index]))
      work(both)
      for (const result of results) await result.wait({ timeout: '90s' })
      t.equal(traffic.most, 3)
    })

    t.test('tasks with limits and others are started in one order, also where the worker is busy as they come', async (t) => {
      const order: string[] = []
      let open = (): void => {}
      const opened = new Promise<void>((resolve) => { open = resolve })
      const first = task('test.first', async () => { await opened })
      const note = task('test.note', async (name: string) => { order.push(name) })
      const [app] = await apps(t, database, [first, note])
      const held = await app!.tasks.enqueue(first.using({ priority: 100 }))
      const plain = await app!.tasks.enqueueMany(note, Array.from({ length: 20 }, (_, index): [string] => [`plain ${index}`]))
      createWorker(app!, { ...WORKER, concurrency: 1 }).run().catch(() => {})
      await eventually(async () => { await held.refresh(); assert.equal(held.status, 'RUNNING') })
      const keyed = async (name: string, priority: number): Promise<TaskResult> => await app!.tasks.enqueue(note.using({ priority, concurrencyKey: name }), name)
      const limited = [await keyed('second', 50), await keyed('last', 0), await keyed('first', 90)]
      open()
      for (const result of [...plain, ...limited]) await result.wait({ timeout: '90s' })
      t.same(order, ['first', 'second', ...plain.map((_, index) => `plain ${index}`), 'last'])
    })

    t.test('a task with a rate starts no more often than that, over all workers, and a batch waits for a short one', async (t) => {
      const traffic = new Traffic()
      const call = task('test.call', { rateLimit: { max: 2, every: 300 } }, async (number: number) => { await traffic.run(number, 1) })
      const both = await apps(t, database, [call])
      const results = await both[0]!.tasks.enqueueMany(call, Array.from({ length: 6 }, (_, index): [number] => [index]))
      await Promise.all(both.map(async (app) => { await createWorker(app, { ...WORKER, batch: true }).run() }))
      for (const result of results) await result.refresh()
      t.same(results.map(({ status }) => status), results.map(() => 'SUCCESSFUL'))
      const starts = results.map(({ startedAt }) => startedAt!.getTime()).sort((a, b) => a - b)
      for (let index = 2; index < starts.length; index++) t.ok(starts[index]! - starts[index - 2]! >= 300, `${starts[index]! - starts[index - 2]!} ms`)
    })

    t.test('a batch does not wait for a long rate: what it does not let through stays READY', async (t) => {
      const call = task('test.call', { rateLimit: { max: 2, every: '1h', key: 'service' } }, async () => {})
      const [app] = await apps(t, database, [call])
      const results = await app!.tasks.enqueueMany(call, [[], [], []])
      await createWorker(app!, { ...WORKER, batch: true }).run()
      for (const result of results) await result.refresh()
      t.same(results.map(({ status, attempts }) => [status, attempts]), [['SUCCESSFUL', 1], ['SUCCESSFUL', 1], ['READY', 0]])
    })

    t.test('a deferred task under a key is run when it is due', async (t) => {
      const soon = task('test.soon', async () => {})
      const both = await apps(t, database, [soon])
      work(both)
      const result = await both[0]!.tasks.enqueue(soon.using({ concurrencyKey: 'k', runAfter: 200 }))
      await result.wait({ timeout: '90s' })
      t.ok(result.startedAt!.getTime() >= result.runAfter!.getTime())
    })

    t.test('an ending inside of context.transaction() lets the next one of its key through', async (t) => {
      const order: number[] = []
      const step = task('test.step', { takesContext: true, concurrencyKey: 'k' }, async (context, number: number) => {
        await context.transaction(async () => { order.push(number) })
      })
      const both = await apps(t, database, [step])
      const results = await both[0]!.tasks.enqueueMany(step, [[1], [2], [3]])
      work(both)
      for (const result of results) await result.wait({ timeout: '90s' })
      t.same(order, [1, 2, 3])
    })
  })
}

t.test('limits that are none are refused at boot', async (t) => {
  for (const [limits, field] of [[{ concurrencyLimit: 0 }, 'concurrencyLimit'], [{ rateLimit: { max: 1 } }, 'rateLimit.every'], [{ rateLimit: { max: 0, every: '1s' } }, 'rateLimit.max'], [{ rateLimit: { max: 1, every: '1s', key: 'k' } }, 'rateLimit.key'], [{ most: 1 }, 'most']] as const) {
    const app = Fastify()
    await t.rejects(async () => {
      await app.register(fastifyTasks, { env: false, backends: { default: { backend: 'database', url: 'sqlite::memory:', queues: { small: limits as object } } } })
      await app.ready()
    }, { code: 'FST_TASKS_INVALID_CONFIG', message: new RegExp(`queues\\.small\\.${field.replace('.', '\\.')}`) })
    await app.close()
  }
})
