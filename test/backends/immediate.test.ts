import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { ImmediateBackend } from '#lib/backends/immediate.js'
import { FatalTaskError } from '#lib/core/errors.js'
import { task, type AnyTask } from '#lib/core/task.js'
import { createHost, enqueue, requestOf } from './host.ts'

function create (tasks: AnyTask[] = [], options: object = {}) {
  const host = createHost(...tasks)
  return { ...host, backend: new ImmediateBackend({ alias: 'default', app: host.app, options }) }
}

const add = task('math.add', async (a: number, b: number) => a + b)

t.test('the task runs inside of its enqueue, which gives the finished result', async (t) => {
  const { backend, told } = create([add])
  const result = await enqueue(backend, add, 1, 2)
  t.match(result, { status: 'SUCCESSFUL', returnValue: 3, attempts: 1, isFinished: true, args: [1, 2], taskName: 'math.add', task: add })
  t.ok(result.enqueuedAt <= result.startedAt && result.startedAt <= result.finishedAt)
  t.strictSame(result.startedAt, result.lastAttemptedAt)
  t.equal(result.workerIds.length, 1)
  t.ok(result.workerIds[0].length <= 64)
  t.strictSame(told, ['onEnqueued READY', 'onStarted RUNNING', 'onFinished SUCCESSFUL'])
})

t.test('several requests run one after the other, in their order', async (t) => {
  const order: number[] = []
  const slow = task('slow', async (ms: number) => { await delay(ms); order.push(ms) })
  const { backend } = create([slow])
  const results = await backend.enqueue([requestOf(slow, 10), requestOf(slow, 1)])
  t.strictSame(order, [10, 1])
  t.strictSame(results.map(({ args }) => args[0]), [10, 1])
})

t.test('a task that throws gives a FAILED result and never a throwing enqueue', async (t) => {
  for (const thrown of [new TypeError('no'), 'text', null, undefined]) {
    const failing = task('failing', () => { throw thrown })
    const { backend, told, lines } = create()
    const result = await enqueue(backend, failing)
    t.match(result, { status: 'FAILED', errors: [{ attempt: 1 }] })
    t.ok(result.errors[0].at instanceof Date)
    t.throws(() => result.returnValue, { code: 'FST_TASKS_RESULT_FAILED' })
    t.equal(told.at(-1), 'onFinished FAILED')
    t.match(lines, [{ level: 'error', taskId: result.id }])
  }
})

t.test('a return value that cannot be stored fails the task, once', async (t) => {
  const bad = task('bad', { retry: 3 }, async () => new Date())
  t.match(await enqueue(create().backend, bad), { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_INVALID_RESULT' }] })
})

t.test('retries follow at once, each with its own error and attempt', async (t) => {
  const seen: number[] = []
  const flaky = task('flaky', { takesContext: true, retry: { limit: 3, delay: '1h' } }, async ({ attempt, taskResult }) => {
    seen.push(attempt, taskResult.attempts)
    if (attempt < 3) throw new Error(`try ${attempt}`)
    return attempt
  })
  const { backend, told } = create()
  const result = await enqueue(backend, flaky)
  t.match(result, { status: 'SUCCESSFUL', returnValue: 3, attempts: 3, errors: [{ message: 'try 1', attempt: 1 }, { message: 'try 2', attempt: 2 }] })
  t.strictSame(seen, [1, 1, 2, 2, 3, 3])
  t.equal(result.workerIds.length, 3)
  t.strictSame(told, ['onEnqueued READY', 'onStarted RUNNING', 'onRetried READY', 'onStarted RUNNING', 'onRetried READY', 'onStarted RUNNING', 'onFinished SUCCESSFUL'])
})

t.test("retries end with their limit, with a FatalTaskError, and follow the backend's default", async (t) => {
  const failing = task('failing', () => { throw new Error('x') })
  const fatal = task('fatal', { retry: 5 }, () => { throw new FatalTaskError() })
  t.match(await enqueue(create().backend, failing.using({ retry: 2 })), { status: 'FAILED', attempts: 3 })
  t.match(await enqueue(create().backend, fatal), { status: 'FAILED', attempts: 1 })
  t.match(await enqueue(create([], { retry: 1 }).backend, failing), { status: 'FAILED', attempts: 2 })
})

t.test('a timeout applies, and an attempt that ignores it is the last: never two at once', async (t) => {
  const deaf = task('deaf', { timeout: 5, timeoutGrace: 5, retry: 5 }, async () => { await new Promise(() => {}) })
  t.match(await enqueue(create().backend, deaf), { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_TIMEOUT' }] })
  const heard = task('heard', { takesContext: true, retry: 1 }, async ({ signal }) => { await new Promise((resolve) => { signal.addEventListener('abort', resolve) }) })
  t.match(await enqueue(create([], { timeout: '5ms' }).backend, heard), { status: 'FAILED', attempts: 2 })
})

t.test('a task gets arguments of its own and may change them', async (t) => {
  const change = task('change', async (user: { name: string }) => { user.name = 'b'; return user })
  t.match(await enqueue(create().backend, change, { name: 'a' }), { args: [{ name: 'a' }], returnValue: { name: 'b' } })
})

t.test('what one reader does to a result reaches no other', async (t) => {
  const list = task('list', async () => [1])
  const { backend } = create()
  const result = await enqueue(backend, list)
  result.returnValue.push(2)
  result.finishedAt.setTime(0)
  const again = await backend.getResult(result.id)
  t.strictSame(again.returnValue, [1])
  t.not(again.finishedAt?.getTime(), 0)
})

t.test('results are read by their id, the last thousand of them', async (t) => {
  const { backend } = create()
  const first = await enqueue(backend, add, 1, 1)
  const results = await backend.enqueue(Array.from({ length: 999 }, () => requestOf(add, 1, 2)))
  t.equal((await backend.getResult(first.id)).returnValue, 2)
  await enqueue(backend, add, 1, 2)
  await t.rejects(backend.getResult(first.id), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
  await t.rejects(first.refresh(), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
  await results[0]?.refresh()
})

t.test('a running task can be read, waited for and cancelled', async (t) => {
  const { backend, told } = create()
  let running = (): void => {}
  const started = new Promise<void>((resolve) => { running = resolve })
  const endless = task('endless', { takesContext: true, retry: 3 }, async ({ signal, progress }) => {
    await progress({ half: true })
    running()
    await new Promise((resolve) => { signal.addEventListener('abort', resolve) })
  })
  const request = requestOf(endless)
  const enqueued = backend.enqueue([request])
  await started
  const result = await backend.getResult(request.id)
  t.match(result, { status: 'RUNNING', progress: { half: true } })
  await t.rejects(result.wait({ timeout: 20 }), { code: 'FST_TASKS_WAIT_TIMEOUT' })
  t.equal(await result.retry(), false)
  t.equal(await result.cancel(), true)
  t.equal((await result.wait()).status, 'CANCELLED')
  t.match(await enqueued, [{ status: 'CANCELLED', attempts: 1, errors: { length: 0 } }])
  t.equal(await result.cancel(), false)
  t.equal(told.at(-1), 'onFinished CANCELLED')
})

t.test('retry of a failed result runs it again with a new budget; of a successful one it does nothing', async (t) => {
  let calls = 0
  const flaky = task('flaky', { retry: 1 }, async () => { if (++calls < 4) throw new Error('x'); return calls })
  const { backend } = create()
  const result = await enqueue(backend, flaky)
  t.match(result, { status: 'FAILED', attempts: 2 })
  t.equal(await result.retry(), true)
  await result.refresh()
  t.match(result, { status: 'SUCCESSFUL', returnValue: 4, attempts: 4, errors: { length: 3 } })
  t.equal(await result.retry(), false)
})

t.test('what it cannot do is refused', async (t) => {
  const { backend } = create()
  for (const options of [{ runAfter: '1s' }, { uniqueKey: 'k' }, { tags: ['a'] }, { concurrencyKey: 'k' }, { rateLimit: { max: 1, every: '1s' } }, { onSuccess: add }]) {
    t.throws(() => { backend.validateTask(add.using(options as any)) }, { code: 'FST_TASKS_INVALID_TASK' })
  }
  t.doesNotThrow(() => { backend.validateTask(add.using({ priority: 5, retry: 2, timeout: '1s' })) })
  const outcome = await enqueue(backend, task('trx', { takesContext: true }, async (context) => { await context.transaction(async () => 1) }))
  t.match(outcome, { status: 'FAILED', errors: [{ code: 'FST_TASKS_UNSUPPORTED' }] })
})

t.test('its options are checked, and those of other kinds are accepted', async (t) => {
  for (const options of [{ maxDepth: 0 }, { maxResultBytes: 1.5 }, { retry: -1 }, { timeout: 'soon' }, { timeout: 0 }, { timeoutGrace: null }, { serializer: {} }, { migrate: 'no' }, { concurrency: 1 }]) {
    t.throws(() => create([], options), { code: 'FST_TASKS_INVALID_CONFIG', message: new RegExp(`^backends\\.default\\.options\\.${Object.keys(options)[0] as string}`) })
  }
  t.doesNotThrow(() => create([], { migrate: false, crashBudget: 2, timeout: null, retry: undefined }))
})

t.test('a closing backend waits for what runs, and starts nothing more', async (t) => {
  const { backend } = create()
  let ended = false
  const slow = task('slow', { retry: 5 }, async () => { await delay(20); ended = true; throw new Error('x') })
  const enqueued = enqueue(backend, slow)
  await backend.close()
  t.equal(ended, true)
  t.match(await enqueued, { status: 'FAILED', errors: [{ message: 'x' }, { code: 'FST_TASKS_CLOSED' }] })
})
