import t, { type Test } from 'tap'
import assert from 'node:assert/strict'
import { getActiveResourcesInfo } from 'node:process'
import diagnostics from 'node:diagnostics_channel'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task, type FastifyTasksOptions, type TaskFilter, type TaskResult } from 'fastify-tasks'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { RecordingBackend } from './recording-backend.ts'

const add = () => task('math.add', async (a: number, b: number) => a + b)

async function build (test: Test, options: FastifyTasksOptions): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(fastifyTasks, { env: false, ...options })
  test.teardown(async () => { await app.close() })
  return app
}

t.test('a task is enqueued by itself, by its name and by its app, with the same outcome', async (t) => {
  const own = add()
  const app = await build(t, { tasks: [own] })
  for (const result of [await own.enqueue(1, 2), await app.tasks.enqueue(own, 1, 2), await app.tasks.enqueue('math.add', 1, 2)]) {
    t.match(result, { status: 'SUCCESSFUL', returnValue: 3, taskName: 'math.add' })
    t.equal(result.task, own)
  }
  t.same((await app.tasks.enqueueMany(own, [[1, 2], [3, 4]])).map(({ returnValue }) => returnValue), [3, 7])
  t.same(await app.tasks.enqueueMany('math.add', []), [])
  t.equal(app.tasks.task('math.add'), own)
  t.equal(app.tasks.task('toString'), null)
})

t.test('what is not known or not registered is refused', async (t) => {
  const own = add()
  const app = await build(t, { tasks: [own] })
  const twin = add()
  await t.rejects(app.tasks.enqueue('nope'), { code: 'FST_TASKS_UNKNOWN_TASK' })
  await t.rejects(app.tasks.enqueue('__proto__'), { code: 'FST_TASKS_UNKNOWN_TASK' })
  await t.rejects(app.tasks.enqueue(twin, 1, 2), { code: 'FST_TASKS_NOT_REGISTERED' })
  await t.rejects(app.tasks.enqueue((() => {}) as unknown as typeof own, 1, 2), { code: 'FST_TASKS_INVALID_TASK' })
  t.throws(() => { app.tasks.add(twin) }, { code: 'FST_TASKS_DUPLICATE_TASK' })
  await t.rejects(app.tasks.enqueueMany(own, [[1, 2], [1, NaN]]), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  await t.rejects(app.tasks.enqueueMany(own, 'ab' as unknown as []), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  await t.rejects(app.tasks.enqueueMany(own, [7] as unknown as []), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  const other = await build(t, { tasks: [own] })
  await t.rejects(own.enqueue(1, 2), { code: 'FST_TASKS_AMBIGUOUS_APP' })
  t.equal((await other.tasks.enqueue(own, 1, 2)).returnValue, 3)
})

t.test('a schema is checked at the enqueue, with the path of what is wrong', async (t) => {
  const schema = { type: 'array', items: [{ type: 'object', properties: { email: { type: 'string', format: 'email' } }, required: ['email'] }], minItems: 1, additionalItems: false }
  const send = task('send', { schema }, async (_to: { email: string }) => {})
  const app = await build(t, { tasks: [send] })
  await send.enqueue({ email: 'a@example.com' })
  await t.rejects(send.enqueue({ email: 'secret-value' }), { code: 'FST_TASKS_INVALID_ARGUMENT', message: /args\[0\]\.email/ })
  t.notMatch(await send.enqueue({ email: 'secret-value' }).catch((error: Error) => error.message), /secret-value/)
  await t.rejects(send.enqueue(...([{ email: 'a@example.com' }, 2] as unknown as [{ email: string }])), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  await t.rejects(app.tasks.enqueue('send'), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  const newer = task('newer', { schema: { $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'array', prefixItems: [{ enum: ['a', 'b'] }] } }, async (_which: string) => {})
  app.tasks.add(newer)
  await newer.enqueue('a')
  await t.rejects(newer.enqueue('c'), { code: 'FST_TASKS_INVALID_ARGUMENT', message: /"a","b"/ })
  t.throws(() => { app.tasks.add(task('broken', { schema: { type: 'nonsense' } }, async () => {})) }, { code: 'FST_TASKS_INVALID_TASK' })
})

t.test('nothing is sent where one of many does not pass the gate', async (t) => {
  const own = add()
  const app = await build(t, { tasks: [own], backends: { default: { backend: RecordingBackend } } })
  const backend = app.tasks.backend() as RecordingBackend
  await t.rejects(own.enqueueMany([[1, 2], [1, Symbol('x') as unknown as number]]), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  t.same(backend.calls, [])
  await own.enqueueMany([[1, 2], [3, 4]])
  t.same(backend.calls, [[[1, 2], [3, 4]]])
  t.throws(() => own.using({ runAfter: 5 }), { code: 'FST_TASKS_INVALID_TASK' })
})

t.test("a third party's requests are frozen, and its results are told of", async (t) => {
  const own = add()
  const requests: unknown[] = []
  class Backend extends RecordingBackend {
    override async enqueue (given: Parameters<RecordingBackend['enqueue']>[0]): Promise<TaskResult[]> {
      requests.push(given, ...given)
      return await super.enqueue(given)
    }
  }
  const app = await build(t, { tasks: [own], backends: { default: { backend: Backend } } })
  const [hook, channel]: [string[], string[]] = [[], []]
  const subscriber = (message: unknown): void => { channel.push((message as { result: TaskResult }).result.id) }
  diagnostics.subscribe('fastify-tasks:enqueued', subscriber)
  t.teardown(() => { diagnostics.unsubscribe('fastify-tasks:enqueued', subscriber) })
  t.equal(app.tasks.addHook('onEnqueued', async ({ id }) => { hook.push(id) }), app.tasks)
  const { id } = await own.enqueue(1, 2)
  t.ok(requests.every((each) => Object.isFrozen(each)))
  t.match(requests[1], { id, task: own, args: [1, 2] })
  t.same([hook, channel], [[id], [id]])
  t.throws(() => app.tasks.addHook('onEnqueue' as 'onEnqueued', () => {}), { code: 'FST_TASKS_INVALID_OPTION' })
  await t.rejects(app.tasks.getResult(id), { code: 'FST_TASKS_UNSUPPORTED' })
  await t.rejects(own.getResult(id), { code: 'FST_TASKS_UNSUPPORTED' })
  await t.rejects(app.tasks.cancel(id), { code: 'FST_TASKS_UNSUPPORTED' })
  await t.rejects(app.tasks.cancel({ tag: 'x' }), { code: 'FST_TASKS_UNSUPPORTED' })
  await t.rejects(app.tasks.list(), { code: 'FST_TASKS_UNSUPPORTED' })
  await t.rejects(app.tasks.stats(), { code: 'FST_TASKS_UNSUPPORTED' })
  await t.rejects(app.tasks.pause('default'), { code: 'FST_TASKS_UNSUPPORTED' })
  t.same(await app.tasks.health(), { ok: true, reasons: [] })
})

t.test('bad filters are refused before the backend is asked', async (t) => {
  const app = await build(t, { backends: { default: { url: 'sqlite::memory:' } } })
  const bad = (filter: unknown): TaskFilter => filter as TaskFilter
  for (const filter of [{}, { tag: undefined }, null, undefined, 7, [], { state: 'READY' }, { status: 'ready' }, { status: ['READY'] }, { status: 'toString' }, { queueName: 'a b' }, { task: '' }, { task: () => {} }, { tag: '' }, { tag: 3 }, { tag: 'a\0b' }, { tag: '\ud800' }, { backend: 'default' }]) {
    await t.rejects(app.tasks.cancel(bad(filter)), { code: 'FST_TASKS_INVALID_FILTER' }, JSON.stringify(filter))
    await t.rejects(app.tasks.retry(bad(filter)), { code: 'FST_TASKS_INVALID_FILTER' }, JSON.stringify(filter))
  }
  for (const filter of [{ limit: 0 }, { limit: 1001 }, { limit: 1.5 }, { limit: '5' }, { after: 5 }, { after: "'; --" }, { status: 'x' }, { unknown: 1 }, 'READY', null, { tag: 'a\0b' },
    { enqueuedAfter: 5 }, { enqueuedBefore: 'yesterday' }, { enqueuedAfter: '2026-11-20T08:00' }, { finishedAfter: new Date(NaN) }, { finishedBefore: null }, { finishedBefore: '2026-13-01' }, { enqueuedAfter: '2026-11-21', enqueuedBefore: '2026-11-20' }]) {
    await t.rejects(app.tasks.list(bad(filter)), { code: 'FST_TASKS_INVALID_FILTER' }, JSON.stringify(filter))
  }
  for (const name of ['', 'a b', 7, undefined]) await t.rejects(app.tasks.pause(name as string), { code: 'FST_TASKS_INVALID_FILTER' })
  await t.rejects(app.tasks.stats({ alias: 'x' } as object), { code: 'FST_TASKS_INVALID_FILTER' })
  await t.rejects(app.tasks.stats({ backend: 'nope' }), { code: 'FST_TASKS_INVALID_BACKEND' })
  for (const id of ['', 'x', '../..', '0'.repeat(500), 'A'.repeat(36)]) {
    t.equal(await app.tasks.cancel(id), 0)
    t.equal(await app.tasks.retry(id), 0)
    await t.rejects(app.tasks.getResult(id), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
  }
  await t.rejects(app.tasks.getResult(7 as unknown as string), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
})

for (const { name, open } of databases) {
  t.test(`control on ${name}`, async (t) => {
    const database = await open()
    t.teardown(async () => { await database.close() })
    const own = add()
    const other = task('other', { queueName: 'slow', tags: ['x'] }, async () => {})
    const app = await build(t, { tasks: [own, other], backends: { default: { url: database.url }, second: { url: database.url } } })
    const finished: string[] = []
    app.tasks.addHook('onFinished', ({ id, status }) => { finished.push(`${id} ${status}`) })

    const results = [await own.enqueue(1, 2), await other.enqueue(), await other.enqueue(), await own.using({ runAfter: '1h' }).enqueue(3, 4)]
    const [first, second, third, deferred] = results as TaskResult[] as [TaskResult, TaskResult, TaskResult, TaskResult]
    await own.using({ backend: 'second' }).enqueue(5, 6)
    const page = await app.tasks.list({ limit: 3 })
    t.same(page.results.map(({ id }) => id), [deferred.id, third.id, second.id])
    const rest = await app.tasks.list({ limit: 3, after: page.next })
    t.same([rest.results.map(({ id }) => id), rest.next], [[first.id], null])
    t.same((await app.tasks.list({ task: own, status: 'READY' })).results.length, 2)
    t.same((await app.tasks.list({ tag: 'x' })).results.length, 2)
    t.same((await app.tasks.list({}, { backend: 'second' })).results.length, 1)
    const moment = second.enqueuedAt as Date
    t.same((await app.tasks.list({ enqueuedAfter: moment, task: other })).results.map(({ id }) => id), [third.id, second.id])
    t.same((await app.tasks.list({ enqueuedAfter: moment.toISOString(), enqueuedBefore: new Date(Date.now() + 60_000), task: other, limit: 1 })).results.map(({ id }) => id), [third.id])
    t.same((await app.tasks.list({ enqueuedBefore: '2020-01-01' })).results, [])
    t.same((await app.tasks.list({ finishedAfter: '2020-01-01' })).results, [], 'none has ended')
    await t.rejects(app.tasks.getResult(first.id, { backend: 'second' }), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
    await t.rejects(other.getResult(first.id), { code: 'FST_TASKS_RESULT_MISMATCH' })

    await app.tasks.pause('slow')
    const stats = await app.tasks.stats()
    assert.deepEqual(Object.keys(stats).sort(), ['approximate', 'queues', 'unknownTasks', 'workers'])
    assert.deepEqual({ ...stats.queues['default'], oldestReadyMs: 0 }, { ready: 1, deferred: 1, running: 0, failed: 0, oldestReadyMs: 0, paused: false })
    t.match(stats.queues['slow'], { ready: 2, paused: true })
    await app.tasks.resume('slow')
    t.match((await app.tasks.stats()).queues['slow'], { paused: false })
    t.match(await app.tasks.health(), { ok: false, reasons: [/No worker/] })
    assert.deepEqual(stats.unknownTasks.map((each) => ({ ...each })).sort((a, b) => a.name < b.name ? -1 : 1), [{ name: 'math.add', ready: 1 }, { name: 'other', ready: 2 }])

    t.equal(await app.tasks.cancel({ tag: 'x' }), 2)
    t.equal(await app.tasks.cancel({ tag: 'x' }), 0)
    await eventually(() => { assert.deepEqual([...finished].sort(), [`${second.id} CANCELLED`, `${third.id} CANCELLED`].sort()) })
    t.equal(await app.tasks.retry(second.id), 1)
    t.equal(await app.tasks.retry(second.id), 0)
    t.equal(await app.tasks.retry({ status: 'CANCELLED' }), 1)
    t.equal(await app.tasks.cancel(first.id), 1)
    t.equal(await first.cancel(), false)
    await first.refresh()
    t.equal(first.status, 'CANCELLED')
    t.equal(await first.retry(), true)
    await t.rejects(first.wait({ timeout: 30 }), { code: 'FST_TASKS_WAIT_TIMEOUT' })
    const waiting = first.wait({ timeout: 20_000 })
    await first.cancel()
    t.match(await waiting, { status: 'CANCELLED' })
    const aborted = new AbortController()
    const rejected = t.rejects(deferred.wait({ signal: aborted.signal }), { message: 'enough' })
    aborted.abort(new Error('enough'))
    await rejected
  })

  t.test(`an app that closes on ${name} lets go of everything`, async (t) => {
    const database = await open()
    t.teardown(async () => { await database.close() })
    const own = add()
    const app = Fastify()
    await app.register(fastifyTasks, { env: false, tasks: [own], backends: { default: { url: database.url } } })
    const before = timers()
    const result = await own.enqueue(1, 2)
    const waiting = t.rejects(result.wait(), { code: 'FST_TASKS_CLOSED' })
    let stopped = false
    app.addHook('onClose', async () => { stopped = true })
    await app.close()
    await waiting
    t.ok(stopped)
    await t.rejects(own.enqueue(1, 2), { code: 'FST_TASKS_NOT_REGISTERED' })
    await t.rejects(app.tasks.enqueue(own, 1, 2), { code: 'FST_TASKS_CLOSED' })
    await eventually(() => { assert.ok(timers() <= before, String(process.getActiveResourcesInfo())) })
    t.match(await app.tasks.health(), { ok: false })
  })
}

function timers (): number {
  return getActiveResourcesInfo().filter((name) => name === 'Timeout' || name === 'TCPSocketWrap' || name === 'FSEventWrap').length
}
