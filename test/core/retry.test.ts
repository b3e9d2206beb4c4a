import t from 'tap'
import fc from 'fast-check'
import { decide, isFatal, withError, type Decidable } from '#lib/core/retry.js'
import { checkRetry, type CheckedRetry } from '#lib/core/task-options.js'
import { describeFailure } from '#lib/core/failure.js'
import { FatalTaskError } from '#lib/core/errors.js'
import { ERRORS_MAX } from '#lib/core/limits.js'
import type { RetryOptions } from '#lib/core/task.js'

const refuse = (field: string): never => { throw new Error(field) }
const rule = (options: RetryOptions): CheckedRetry => checkRetry(options, refuse)
const middle = (): number => 0.5 // no jitter

function failed (error: unknown = new Error('x'), final = false): Decidable {
  return { kind: 'failed', error, failure: describeFailure(error, 1, 0), final, durationMs: 1 }
}

function delayAfter (options: RetryOptions, { attempts = 1, deaths = 0, error = new Error('x') as unknown, random = middle } = {}): number | string {
  const decision = decide(failed(error), { retry: rule(options), attempts, deaths, errors: [], random })
  return decision.status === 'READY' ? decision.delay : decision.status
}

t.test('a returned attempt ends SUCCESSFUL with its text', async (t) => {
  t.strictSame(decide({ kind: 'returned', value: 1, text: '1', durationMs: 1 }, { retry: undefined, attempts: 1, deaths: 0, errors: [] }), { status: 'SUCCESSFUL', returnValue: '1' })
})

t.test('a cancelled attempt ends CANCELLED, is not retried, and adds no error', async (t) => {
  const outcome: Decidable = { kind: 'cancelled', failure: describeFailure(new Error('c'), 1, 0), durationMs: 1 }
  t.strictSame(decide(outcome, { retry: rule({ limit: 5 }), attempts: 1, deaths: 0, errors: [] }), { status: 'CANCELLED', errors: [] })
})

t.test('a failure without a rule ends FAILED', async (t) => {
  t.equal(decide(failed(), { retry: undefined, attempts: 1, deaths: 0, errors: [] }).status, 'FAILED')
  t.equal(delayAfter({ limit: 0 }), 'FAILED')
})

t.test('a rule allows its limit of retries after the first attempt, and no more', async (t) => {
  t.equal(delayAfter({ limit: 2 }, { attempts: 1 }), 1000)
  t.equal(delayAfter({ limit: 2 }, { attempts: 2 }), 2000)
  t.equal(delayAfter({ limit: 2 }, { attempts: 3 }), 'FAILED')
})

t.test('a death of the process spends no retry', async (t) => {
  t.equal(delayAfter({ limit: 1 }, { attempts: 3, deaths: 2 }), 1000)
  t.equal(delayAfter({ limit: 1 }, { attempts: 4, deaths: 2 }), 'FAILED')
})

t.test('the exponential delay grows by its factor up to its maximum', async (t) => {
  const options = { limit: 1000, delay: '100ms', factor: 3, maxDelay: '2s' }
  t.strictSame([1, 2, 3, 4, 900].map((attempts) => delayAfter(options, { attempts })), [100, 300, 900, 2000, 2000])
  t.equal(delayAfter({ ...options, delay: 0, factor: 1e300 }, { attempts: 900 }), 0)
})

t.test('a maximum that was said holds for the first delay too; one that was not shortens none', async (t) => {
  t.equal(delayAfter({ limit: 1, delay: '2h' }), 7_200_000)
  t.equal(delayAfter({ limit: 9, delay: '2h' }, { attempts: 5 }), 7_200_000)
  t.equal(delayAfter({ limit: 1, delay: '2h', maxDelay: undefined }), 7_200_000)
  t.equal(delayAfter({ limit: 1, delay: '2h', maxDelay: '1m' }), 60_000)
  t.equal(delayAfter({ limit: 1, delay: '2h', backoff: 'fixed', maxDelay: '1m' }), 60_000)
})

t.test('the fixed delay stays', async (t) => {
  t.strictSame([1, 5].map((attempts) => delayAfter({ limit: 9, backoff: 'fixed', delay: 50 }, { attempts })), [50, 50])
})

t.test('jitter spreads the delay to both sides, and never past the maximum', async (t) => {
  fc.assert(fc.property(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.integer({ min: 1, max: 20 }), fc.double({ min: 0, max: 1, noNaN: true }), (random, attempts, jitter) => {
    const delay = delayAfter({ limit: 100, delay: 100, maxDelay: 5000, jitter }, { attempts, random: () => random }) as number
    const base = Math.min(100 * 2 ** (attempts - 1), 5000)
    return Number.isInteger(delay) && delay >= Math.floor(base * (1 - jitter)) && delay <= Math.min(Math.ceil(base * (1 + jitter)), 5000)
  }))
  const spread = [0, 0.25, 0.75, 0.999].map((random) => delayAfter({ limit: 100, delay: 5000, maxDelay: 5000 }, { random: () => random }))
  t.strictSame(spread, [4000, 4500, 4500, 4002])
})

t.test('a backoff function is asked with the error and the attempt that failed, and taken at its word', async (t) => {
  const error = new Error('asked')
  const asked: unknown[] = []
  t.equal(delayAfter({ limit: 3, backoff: (...args) => { asked.push(args); return 77.4 }, jitter: 1 }, { attempts: 2, error, random: () => 0 }), 77)
  t.strictSame(asked, [[error, 2]])
  t.equal(delayAfter({ limit: 3, backoff: () => 1e9 }), 3_600_000, 'but for the maximum')
  t.equal(delayAfter({ limit: 3, backoff: () => 0 }), 0)
})

t.test('a backoff function that gives no number falls back to the exponential delay', async (t) => {
  const rubbish: any[] = [() => NaN, () => -1, () => Infinity, () => '5s', () => {}, async () => { throw new Error('late') }, () => { throw new Error('now') }]
  for (const backoff of rubbish) t.equal(delayAfter({ limit: 3, backoff }, { attempts: 2 }), 2000)
})

t.test('retryIf that says no, throws, or answers late stops the retries', async (t) => {
  const retryIf = (answer: any) => delayAfter({ limit: 3, retryIf: answer })
  t.equal(retryIf(() => true), 1000)
  t.equal(retryIf((error: Error, attempt: number) => error.message === 'x' && attempt === 1), 1000)
  t.equal(retryIf(() => false), 'FAILED')
  t.equal(retryIf(() => undefined), 'FAILED')
  t.equal(retryIf(() => { throw new Error('now') }), 'FAILED')
  t.equal(retryIf(async () => true), 'FAILED')
  t.equal(retryIf(async () => { throw new Error('late') }), 'FAILED')
})

t.test('a fatal or final failure is not retried', async (t) => {
  class Gone extends FatalTaskError {}
  t.equal(delayAfter({ limit: 3 }, { error: new FatalTaskError() }), 'FAILED')
  t.equal(delayAfter({ limit: 3 }, { error: new Gone('x') }), 'FAILED')
  t.equal(decide(failed(new Error('x'), true), { retry: rule({ limit: 3 }), attempts: 1, deaths: 0, errors: [] }).status, 'FAILED')
  t.equal(isFatal({ code: 'FST_TASKS_FATAL' }), true)
  class Renamed extends FatalTaskError { override readonly code = 'E_GONE' }
  t.equal(delayAfter({ limit: 3 }, { error: new Renamed() }), 'FAILED', 'whatever its code')
  t.equal(delayAfter({ limit: 3 }, { error: new Error('x', { cause: new FatalTaskError() }) }), 1000, 'what has a fatal cause is not fatal itself')
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  for (const other of [null, undefined, 'x', proxy]) t.equal(isFatal(other), false)
})

t.test('errors are kept oldest first, the newest of them when there are too many', async (t) => {
  let errors: readonly any[] = []
  for (let attempt = 1; attempt <= ERRORS_MAX + 5; attempt++) errors = withError(errors, describeFailure(new Error('x'), attempt, 0))
  t.equal(errors.length, ERRORS_MAX)
  t.equal(errors[0].attempt, 6)
  t.equal(errors.at(-1).attempt, ERRORS_MAX + 5)
})

t.test('a FatalTaskError is kept with its class, its code and its cause', async (t) => {
  class AccountGone extends FatalTaskError {}
  const error = new AccountGone('account 7 is gone', { cause: new RangeError('no such row') })
  const decision = decide(failed(error), { retry: rule({ limit: 3 }), attempts: 1, deaths: 0, errors: [] })
  t.match(decision, { status: 'FAILED', errors: [{ exceptionClass: 'AccountGone', message: 'account 7 is gone', code: 'FST_TASKS_FATAL', traceback: /Caused by: RangeError: no such row/ }] })
  t.match(new FatalTaskError(), { name: 'FatalTaskError', code: 'FST_TASKS_FATAL', message: /failed for good/ })
})

t.test('what is kept of a task that fails as often and as loudly as it can is bounded', async (t) => {
  let errors: readonly any[] = []
  const loud = new Error('m'.repeat(1e6), { cause: new Error('c'.repeat(1e6)) })
  for (let attempts = 1; attempts <= 100; attempts++) {
    const decision = decide(failed(loud), { retry: rule({ limit: 1000 }), attempts, deaths: 0, errors })
    errors = (decision as { errors: readonly any[] }).errors
  }
  t.equal(errors.length, ERRORS_MAX)
  t.ok(errors.every(({ message, traceback }) => message.length <= 4096 && traceback.length <= 16_384))
})
