import t, { type Test } from 'tap'
import assert from 'node:assert/strict'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task, type AnyTask, type BackendOptions } from 'fastify-tasks'
import { createClock, drain } from 'fastify-tasks/testing'
import { createWorker } from 'fastify-tasks/worker'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'

const HOUR = 3_600_000

async function build (t: Test, tasks: AnyTask[], definition: BackendOptions): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifyTasks, { env: false, tasks, backends: { default: definition } })
  await app.ready()
  return app
}

for (const { name, open } of databases) {
  t.test(`on ${name}`, async (t) => {
    const note = task('note', async (text: string) => text)
    const shaky = task('shaky', { takesContext: true, retry: { limit: 1, delay: '6h', maxDelay: '1d', jitter: 0 } }, async ({ attempt }) => { if (attempt === 1) throw new Error('once') })
    const rated = task('rated', { rateLimit: { max: 2, every: '1h' } }, async () => {})
    const setting = async (t: Test, options: object = {}): Promise<FastifyInstance> => {
      const { url, close } = await open()
      const app = await build(t, [note, shaky, rated], { backend: 'database', url, options })
      t.teardown(close)
      return app
    }

    t.test('deferred tasks, retries, unique windows, rate limits and retention come due when a test moves the time', async (t) => {
      const app = await setting(t)
      const clock = createClock(app)
      t.equal(createClock(app), clock)
      const deferred = await note.using({ runAfter: '1d' }).enqueue('deferred')
      const retried = await shaky.enqueue()
      const unique = note.using({ uniqueKey: 'k', uniqueFor: '2h' })
      const first = await unique.enqueue('first')
      const rates = await rated.enqueueMany([[], [], []])
      const statuses = async (): Promise<string[]> => {
        await drain(app)
        return await Promise.all([deferred, retried, first, ...rates].map(async (result) => { await result.refresh(); return result.status }))
      }
      t.same(await statuses(), ['READY', 'READY', 'SUCCESSFUL', 'SUCCESSFUL', 'SUCCESSFUL', 'READY'])
      t.equal((await unique.enqueue('second')).isDuplicate, true)

      clock.advance('2h')
      t.equal((await unique.enqueue('second')).isDuplicate, false)
      clock.advance('4h')
      t.same(await statuses(), ['READY', 'SUCCESSFUL', 'SUCCESSFUL', 'SUCCESSFUL', 'SUCCESSFUL', 'SUCCESSFUL'])
      t.ok((retried.finishedAt as Date).getTime() - (retried.enqueuedAt as Date).getTime() >= 6 * HOUR)
      const failed = await shaky.enqueue()
      await drain(app)
      await failed.refresh()
      t.ok(Math.abs(Number(failed.errors[0]?.at) - Number(failed.lastAttemptedAt)) < HOUR / 60, 'errors are dated by the same clock')
      clock.set(new Date((deferred.runAfter as Date).getTime() - 10_000))
      await drain(app)
      await deferred.refresh()
      t.equal(deferred.status, 'READY', 'and nothing is early')
      clock.set(deferred.runAfter as Date)
      await drain(app)
      await deferred.refresh()
      t.equal(deferred.status, 'SUCCESSFUL')

      clock.advance('13d')
      await drain(app)
      await t.resolves(app.tasks.getResult(deferred.id))
      clock.advance('1d')
      await drain(app)
      await t.rejects(app.tasks.getResult(deferred.id), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
    })

    t.test('a worker of this process is woken by it, and keeps its lease however far it goes', async (t) => {
      const app = await setting(t)
      const clock = createClock(app)
      const worker = createWorker(app, { interval: '1h', sweep: 100, lease: '5s' })
      const ended = worker.run()
      await eventually(() => { assert.notEqual(worker.id, null) })
      const { id } = worker
      const deferred = await note.using({ runAfter: '30d' }).enqueue('deferred')
      const late = await note.using({ runAfter: '60d' }).enqueue('late')
      clock.advance('30d')
      await deferred.wait({ timeout: '90s' })
      await eventually(async () => { assert.notEqual((await app.tasks.stats()).workers[0]?.lastSeen, undefined) })
      t.equal((await app.tasks.stats()).queues['default']?.deferred, 1)
      clock.advance('30d')
      await late.wait({ timeout: '90s' })
      t.equal(late.attempts, 1)
      t.equal(worker.id, id, 'it has not lost its lease')
      t.same((await app.tasks.stats()).workers.map(({ id }) => id), [id])
      await worker.stop()
      await ended
    })

    t.test('an app without one goes by the real time, beside an app that has moved it', async (t) => {
      const { url, close } = await open()
      const moved = await build(t, [], { backend: 'database', url })
      const other = await build(t, [note], { backend: 'database', url })
      t.teardown(close)
      createClock(moved).advance('1d')
      const deferred = await note.using({ runAfter: '1h' }).enqueue('deferred')
      await drain(other)
      await deferred.refresh()
      t.equal(deferred.status, 'READY')
    })
  })
}

t.test('Dummy and Immediate backends tell the time by it', async (t) => {
  for (const backend of ['dummy', 'immediate'] as const) {
    const note = task('note', async (text: string) => text)
    const app = await build(t, [note], { backend })
    const clock = createClock(app)
    const now = clock.advance('30d').getTime()
    t.ok(Math.abs(now - Date.now() - 30 * 24 * HOUR) < 10_000)
    const { enqueuedAt, finishedAt } = await note.enqueue('x')
    t.ok((enqueuedAt as Date).getTime() >= now)
    if (backend === 'immediate') t.ok((finishedAt as Date).getTime() >= now)
    else t.ok(((await note.using({ runAfter: '1h' }).enqueue('x')).runAfter as Date).getTime() >= now + HOUR)
    clock.set(new Date('2020-02-29T12:00:00Z'))
    t.match((await note.enqueue('x')).enqueuedAt?.toISOString(), /^2020-02-29T12:00:0/)
    clock.reset()
    t.ok(Math.abs(clock.now().getTime() - Date.now()) < 10_000)
  }
})

t.test('a clock is refused in production, and a move that is none', async (t) => {
  const app = await build(t, [], { backend: 'dummy' })
  const clock = createClock(app)
  for (const wrong of ['soon', -1, NaN, null]) t.throws(() => clock.advance(wrong as never), { code: 'FST_TASKS_INVALID_OPTION' })
  for (const wrong of [new Date(NaN), 0, '2026-01-01', new Date(8e15)]) t.throws(() => clock.set(wrong as never), { code: 'FST_TASKS_INVALID_OPTION' })
  t.throws(() => createClock(Fastify()), { code: 'FST_TASKS_INVALID_OPTION' })
  const { NODE_ENV } = process.env
  t.teardown(() => { if (NODE_ENV === undefined) delete process.env['NODE_ENV']; else process.env['NODE_ENV'] = NODE_ENV })
  process.env['NODE_ENV'] = 'production'
  const live = await build(t, [], { backend: 'dummy' })
  t.throws(() => createClock(live), { code: 'FST_TASKS_INVALID_OPTION', message: /NODE_ENV/ })
})
