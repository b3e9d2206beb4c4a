import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { currentAttempt } from '#lib/run/current.js'
import { FatalTaskError } from '#lib/core/errors.js'
import { attemptOf, contextAttempt, createLog } from './attempts.ts'

const forever = async (): Promise<never> => await new Promise(() => {})
const aborted = async (signal: AbortSignal): Promise<void> => {
  if (!signal.aborted) await new Promise((resolve) => { signal.addEventListener('abort', resolve, { once: true }) })
}

t.test('what the function returns is the outcome, with its stored text', async (t) => {
  const outcome = await attemptOf(async (a: number, b: number) => ({ sum: a + b }), { args: [1, 2] }).outcome
  t.match(outcome, { kind: 'returned', value: { sum: 3 }, text: '{"sum":3}' })
  t.ok(outcome.durationMs >= 0)
  t.ok(Object.isFrozen(outcome))
})

t.test('an attempt that succeeds makes no error: its stack would cost more than all else', async (t) => {
  const { captureStackTrace } = Error
  let made = 0
  Error.captureStackTrace = (...args) => { made += 1; captureStackTrace(...args) }
  const outcomes = await Promise.all([
    attemptOf(async () => 5).outcome,
    attemptOf(async (context) => { await context.transaction(async () => 5) }, { takesContext: true, transaction: async (fn) => await fn({} as any) }).outcome
  ]).finally(() => { Error.captureStackTrace = captureStackTrace })
  t.match(outcomes, [{ kind: 'returned' }, { kind: 'committed' }])
  t.equal(made, 0)
})

t.test('a function need not be asynchronous, nor return a promise of ours', async (t) => {
  t.match(await attemptOf(() => 5).outcome, { kind: 'returned', text: '5' })
  t.match(await attemptOf(() => {}).outcome, { kind: 'returned', text: 'null' })
  t.match(await attemptOf(() => ({ then: (resolve: (value: number) => void) => { resolve(7); resolve(8) } })).outcome, { kind: 'returned', text: '7' })
  t.match(await attemptOf(() => ({ then: () => { throw new Error('then') } })).outcome, { kind: 'failed', failure: { message: 'then' } })
  t.match(await attemptOf(() => ({ get then () { throw new Error('getter') } })).outcome, { kind: 'failed', failure: { message: 'getter' } })
})

t.test('whatever is thrown, now or late, fails the attempt', async (t) => {
  const now = await attemptOf(() => { throw new TypeError('now') }, { attempt: 3 }).outcome
  t.match(now, { kind: 'failed', final: false, failure: { exceptionClass: 'TypeError', message: 'now', attempt: 3 } })
  t.match(await attemptOf(async () => { await turn(); throw new Error('late') }).outcome, { kind: 'failed', failure: { message: 'late' } })
  for (const thrown of [null, undefined, 'text', 0]) t.match(await attemptOf(() => { throw thrown }).outcome, { kind: 'failed', error: thrown })
})

t.test('a FatalTaskError is final', async (t) => {
  t.match(await attemptOf(() => { throw new FatalTaskError('no') }).outcome, { kind: 'failed', final: true, failure: { code: 'FST_TASKS_FATAL' } })
})

t.test('a return value that cannot be stored is a final failure', async (t) => {
  for (const value of [new Date(), () => {}, 1n, 'x'.repeat(2_000)]) {
    t.match(await attemptOf(async () => value).outcome, { kind: 'failed', final: true, failure: { code: 'FST_TASKS_INVALID_RESULT' } })
  }
  const { failure } = await attemptOf(async () => ({ when: new Date() })).outcome as any
  t.equal(failure.message, 'The return value cannot be stored: it.when: it is a Date. Pass an ISO string: date.toISOString().')
})

t.test("the backend's serializer makes the text, at once or later, and its failure is final", async (t) => {
  t.match(await attemptOf(() => new Date(0), { encode: (value: any) => `d:${value.getTime()}` }).outcome, { kind: 'returned', text: 'd:0' })
  t.match(await attemptOf(() => undefined, { encode: async (value) => String(value) }).outcome, { kind: 'returned', text: 'null' })
  const broken: any[] = [() => { throw new Error('secret') }, async () => { throw new Error('secret') }, async () => 5]
  for (const encode of broken) {
    const outcome = await attemptOf(() => 1, { encode }).outcome
    t.match(outcome, { kind: 'failed', final: true, failure: { code: 'FST_TASKS_INVALID_RESULT' } })
    t.notMatch((outcome as any).failure.message, /secret/)
  }
})

t.test('the context is frozen, tells of the attempt, and its methods work on their own', async (t) => {
  const { log, lines } = createLog()
  const stored: string[] = []
  const outcome = await contextAttempt(async (context, name: string) => {
    t.ok(Object.isFrozen(context))
    const { attempt, signal, progress, taskResult, log: own } = context
    own.info({}, 'hello')
    await progress({ done: 1 })
    return [name, attempt, signal.aborted, taskResult.id]
  }, { args: ['a'], attempt: 2, log, progress: async (text) => { stored.push(text) } }).outcome
  t.match(outcome, { kind: 'returned', value: ['a', 2, false, 'result-1'] })
  t.strictSame(stored, ['{"done":1}'])
  t.match(lines, [{ taskId: 'result-1', task: 'test.task', queue: 'default', attempt: 2, msg: 'hello' }])
})

t.test('progress that cannot be stored is refused, and after the end there is none', async (t) => {
  let context: any
  await contextAttempt(async (given) => {
    context = given
    await t.rejects(context.progress(new Map()), { code: 'FST_TASKS_INVALID_ARGUMENT', message: /^progress / })
    await context.progress(1)
  }).outcome
  await t.rejects(context.progress(2), { code: 'FST_TASKS_ATTEMPT_ENDED' })
})

t.test('a timeout aborts the signal, and fails the attempt whatever is returned after it', async (t) => {
  const reasons: unknown[] = []
  const after = async (end: () => unknown): Promise<unknown> => await contextAttempt(async ({ signal }) => {
    await aborted(signal)
    reasons.push(signal.reason)
    return end()
  }, { timeout: 5 }).outcome
  t.match(await after(() => 'late'), { kind: 'failed', final: false, failure: { code: 'FST_TASKS_TIMEOUT', exceptionClass: 'FastifyError' } })
  t.match(await after(() => { throw new Error('mine') }), { kind: 'failed', failure: { code: 'FST_TASKS_TIMEOUT' } })
  t.match(reasons, [{ code: 'FST_TASKS_TIMEOUT' }, { code: 'FST_TASKS_TIMEOUT' }])
})

t.test('a function that ignores its signal has its outcome at the end of the grace, and settles later', async (t) => {
  let release = (): void => {}
  const attempt = attemptOf(async () => { await new Promise<void>((resolve) => { release = resolve }) }, { timeout: 5, timeoutGrace: 20 })
  const started = performance.now()
  t.match(await attempt.outcome, { kind: 'failed', failure: { code: 'FST_TASKS_TIMEOUT' } })
  t.ok(performance.now() - started >= 15)
  t.equal(attempt.isSettled, false)
  release()
  await attempt.settled
  t.equal(attempt.isSettled, true)
  await attempt.settled
})

t.test('a function that blocks the loop past its timeout has timed out', async (t) => {
  const outcome = await attemptOf(() => {
    const end = performance.now() + 30
    while (performance.now() < end);
    return 1
  }, { timeout: 5 }).outcome
  t.match(outcome, { kind: 'failed', failure: { code: 'FST_TASKS_TIMEOUT' } })
})

t.test('what ends within its timeout leaves no timer', async (t) => {
  const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  await attemptOf(async () => 1, { timeout: 100_000 }).outcome
  await contextAttempt(async () => 1, { timeout: 2 ** 40 }).outcome
  t.equal(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length, before)
})

t.test('a timeout longer than setTimeout can wait does not come at once', async (t) => {
  t.match(await attemptOf(async () => { await delay(20); return 1 }, { timeout: 2 ** 31 + 1000 }).outcome, { kind: 'returned' })
})

t.test('a cancelled attempt is cancelled, whether it returns, throws or hangs', async (t) => {
  for (const end of [() => 1, () => { throw new Error('x') }, forever]) {
    const attempt = contextAttempt(async ({ signal }) => { await aborted(signal); return await end() }, { timeoutGrace: 10 })
    attempt.abort('cancelled')
    t.match(await attempt.outcome, { kind: 'cancelled', failure: { code: 'FST_TASKS_CANCELLED' } })
  }
})

t.test('a shutdown interrupts what throws or hangs; what returns has succeeded', async (t) => {
  const run = (end: () => unknown) => {
    const attempt = contextAttempt(async ({ signal }) => { await aborted(signal); t.match(signal.reason, { code: 'FST_TASKS_SHUTDOWN' }); return await end() }, { timeoutGrace: 10 })
    attempt.abort('shutdown')
    return attempt.outcome
  }
  t.match(await run(() => 1), { kind: 'returned', text: '1' })
  t.match(await run(() => { throw new Error('x') }), { kind: 'interrupted' })
  t.match(await run(forever), { kind: 'interrupted' })
})

t.test('a lost lease interrupts the attempt, whatever it returns', async (t) => {
  const attempt = contextAttempt(async ({ signal }) => { await aborted(signal); return 1 })
  attempt.abort('lease-lost')
  t.match(await attempt.outcome, { kind: 'interrupted' })
})

t.test('a shutdown fails for good what has closed its own app, or one that this is part of, and interrupts what has closed another', async (t) => {
  const app = {} as FastifyInstance
  const child = Object.create(app) as FastifyInstance
  const run = async (own: FastifyInstance, closed: FastifyInstance) => {
    const attempt = attemptOf(async () => { currentAttempt()?.closes(closed); await forever() }, { app: own, timeoutGrace: 5 })
    attempt.abort('shutdown')
    return await attempt.outcome
  }
  const failed = { kind: 'failed', final: true, failure: { code: 'FST_TASKS_UNSUPPORTED' } }
  t.match(await run(app, app), failed)
  t.match(await run(child, app), failed)
  t.match(await run(app, {} as FastifyInstance), { kind: 'interrupted' })
})

t.test('the first cause stands, but what a shutdown interrupts may still be cancelled or lost', async (t) => {
  const run = (...causes: any[]) => {
    const attempt = contextAttempt(async ({ signal }) => { await aborted(signal); return 1 })
    for (const cause of causes) attempt.abort(cause)
    return attempt.outcome
  }
  t.match(await run('timeout', 'cancelled'), { failure: { code: 'FST_TASKS_TIMEOUT' } })
  t.match(await run('cancelled', 'shutdown'), { kind: 'cancelled' })
  t.match(await run('shutdown', 'cancelled'), { kind: 'cancelled' })
  t.match(await run('shutdown', 'lease-lost'), { kind: 'interrupted' })
  t.match(await run('lease-lost', 'shutdown'), { kind: 'interrupted' })
})

t.test('an abort after the end changes nothing', async (t) => {
  const attempt = attemptOf(() => 1)
  attempt.abort('cancelled')
  t.match(await attempt.outcome, { kind: 'returned' })
})

t.test('time running out while the value is encoded does not take the success back; a cancellation does', async (t) => {
  const slow = async (): Promise<string> => { await delay(600); return '1' }
  t.match(await attemptOf(() => 1, { encode: slow, timeout: 300 }).outcome, { kind: 'returned' })
  const attempt = attemptOf(() => 1, { encode: slow })
  attempt.abort('cancelled')
  t.match(await attempt.outcome, { kind: 'cancelled' })
  t.match(await attemptOf(() => 1, { encode: forever, timeout: 5, timeoutGrace: 5 }).outcome, { failure: { code: 'FST_TASKS_TIMEOUT' } }, 'a serializer that hangs has its end')
})

t.test('code finds the attempt that it belongs to, across timers and promises, and only that one', async (t) => {
  t.equal(currentAttempt(), undefined)
  const seen = async (): Promise<string | undefined> => { await delay(1); return currentAttempt()?.taskName }
  t.match(await attemptOf(seen).outcome, { value: 'test.task' })
  t.equal(currentAttempt(), undefined)
})

t.test('an attempt that is failed from outside fails, whatever its function does later', async (t) => {
  const error = Object.assign(new Error('exit'), { code: 'FST_TASKS_PROCESS_EXIT' })
  t.match(await attemptOf(async () => { currentAttempt()?.fail(error); return 1 }).outcome, { kind: 'failed', error, final: false })
  t.match(await attemptOf(async () => { setImmediate(() => { currentAttempt()?.fail(error) }); await forever() }, { timeoutGrace: 5 }).outcome, { kind: 'failed', error })
  const attempt = contextAttempt(async ({ signal }) => { currentAttempt()?.fail(error); await aborted(signal); return signal.reason === error })
  t.match(await attempt.outcome, { kind: 'failed', error })
})

t.test('after its end an attempt cannot be failed', async (t) => {
  let current: any
  t.match(await attemptOf(() => { current = currentAttempt(); return 1 }).outcome, { kind: 'returned' })
  t.equal(current.ended, true)
  current.fail(new Error('late'))
})

t.test('a listener of the signal belongs to the attempt', async (t) => {
  let seen: unknown
  const attempt = contextAttempt(async ({ signal }) => { signal.addEventListener('abort', () => { seen = currentAttempt()?.id }); await aborted(signal) })
  attempt.abort('cancelled')
  await attempt.outcome
  t.equal(seen, 'result-1')
})
