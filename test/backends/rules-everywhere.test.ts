import t from 'tap'
import { FatalTaskError, ImmediateBackend, task, type RetryOptions, type UsingOptions } from 'fastify-tasks'
import { checkRunOptions, type RunOptions } from '#lib/backends/run-options.js'
import { decodeRules, encodeRules, type Rules } from '#lib/backends/rules.js'
import { describeFailure } from '#lib/core/failure.js'
import { decide } from '#lib/core/retry.js'
import { createHost, enqueue } from './host.ts'

const BASE: RetryOptions = { limit: 9, delay: '1s', jitter: 0.2 }
const longer = (): number => 77
const never = (): boolean => false

/** What one word more does to the third attempt's retry, where chance is always 0. Without any it comes after 3.2 s. */
const WORDS: ReadonlyArray<[word: RetryOptions, after: number | 'FAILED']> = [
  [{}, 3_200],
  [{ limit: 2 }, 'FAILED'],
  [{ delay: '3s' }, 9_600],
  [{ backoff: 'fixed' }, 800],
  [{ backoff: 'exponential' }, 3_200],
  [{ backoff: longer }, 77],
  [{ factor: 3 }, 7_200],
  [{ maxDelay: '2s' }, 1_600],
  [{ jitter: 0.5 }, 2_000],
  [{ jitter: 0 }, 4_000],
  [{ retryIf: never }, 'FAILED']
]

function third ({ retry }: Rules): number | string {
  const error = new Error('x')
  const decision = decide({ kind: 'failed', error, failure: describeFailure(error, 3, 0), final: false, durationMs: 0 }, { retry, attempts: 3, deaths: 0, errors: [], random: () => 0 })
  return decision.status === 'READY' ? decision.delay : decision.status
}

/** As a worker finds it: `using()` has been stored with the row, in the database, and code has not. */
function rules (definition: { retry?: number | RetryOptions, timeout?: string | null }, using: UsingOptions = {}, options: RunOptions = {}): Rules {
  const defined = task('rules', definition, () => {})
  return decodeRules(encodeRules(defined.using(using), defined), defined, checkRunOptions('default', options))
}

t.test('each word of a retry rule holds on the task, by using() and by the backend', async (t) => {
  for (const [word, after] of WORDS) {
    const retry = { ...BASE, ...word }
    const name = Object.keys(word).join() || 'none'
    t.equal(third(rules({ retry })), after, `${name}, on the task`)
    t.equal(third(rules({}, {}, { retry })), after, `${name}, by the backend`)
    // Functions are the definition's: using() may take them up, beside words of its own.
    const { backoff, retryIf } = retry
    const defined = { limit: 1, ...(typeof backoff === 'function' && { backoff }), ...(retryIf !== undefined && { retryIf }) }
    t.equal(third(rules({ retry: defined }, { retry })), after, `${name}, by using()`)
  }
})

t.test('the nearest rule counts: using() before the task, of whose rule it changes what it says, and the task before the backend', async (t) => {
  const backend = { retry: 9, timeout: '9s', timeoutGrace: '9s' }
  t.match(rules({ retry: 5, timeout: '5s' }, { retry: 1, timeout: '1s', timeoutGrace: 1 }, backend), { retry: { limit: 1 }, timeout: 1_000, timeoutGrace: 1 })
  t.match(rules({ retry: 5, timeout: '5s' }, {}, backend), { retry: { limit: 5 }, timeout: 5_000, timeoutGrace: 9_000 })
  t.match(rules({ retry: 0, timeout: null }, {}, backend), { retry: { limit: 0 }, timeout: null })
  t.match(rules({}, { retry: 0, timeout: null }, backend), { retry: { limit: 0 }, timeout: null })
  t.match(rules({}, {}, backend), { retry: { limit: 9 }, timeout: 9_000 })
  t.equal(third(rules({ retry: { limit: 1, delay: '5s' } }, { retry: { limit: 9 } })), 16_000, "using() leaves of the task's rule what it does not say")
  t.equal(third(rules({ retry: 9 }, {}, { retry: { limit: 1, delay: '5s' } })), 3_200, "of the backend's nothing is taken over into the task's")
})

t.test('a rule that is none is refused wherever it is said, by its name', async (t) => {
  const wrong: Array<[string, object]> = [
    ['limit', { limit: -1 }], ['limit', { limit: 1.5 }], ['limit', { limit: 1_001 }], ['delay', { delay: 'soon' }], ['delay', { delay: -1 }], ['backoff', { backoff: 'linear' }],
    ['factor', { factor: 0.5 }], ['factor', { factor: Infinity }], ['maxDelay', { maxDelay: null }], ['jitter', { jitter: 1.1 }], ['retryIf', { retryIf: true }], ['tries', { tries: 1 }]
  ]
  const defined = task('rules', () => {})
  for (const [field, retry] of wrong) {
    const message = new RegExp(`retry\\.${field}`)
    t.throws(() => task('rules', { retry } as never, () => {}), { code: 'FST_TASKS_INVALID_TASK', message })
    t.throws(() => defined.using({ retry } as never), { code: 'FST_TASKS_INVALID_TASK', message })
    t.throws(() => checkRunOptions('default', { retry } as never), { code: 'FST_TASKS_INVALID_CONFIG', message })
  }
})

t.test('on Immediate they hold alike, but for the delay: its retries follow at once', async (t) => {
  const run = async (definition: object, using: UsingOptions, options: RunOptions, handler: (...args: any[]) => unknown): Promise<any> => {
    const backend = new ImmediateBackend({ alias: 'default', queues: [], options, app: createHost().app })
    return await enqueue(backend, task('rules', { takesContext: true, ...definition } as never, handler).using(using))
  }
  const asked: unknown[] = []
  const error = new Error('x')
  const everywhere = (rule: object): Array<[object, UsingOptions, RunOptions]> => [[rule, {}, {}], [{}, rule, {}], [{}, {}, rule]]
  const fails = (): never => { throw error }
  const heeds = async ({ signal }: { signal: AbortSignal }): Promise<void> => { await new Promise((resolve) => { signal.addEventListener('abort', resolve) }) }

  for (const places of everywhere({ retry: { limit: 2, delay: '1h', factor: 9, backoff: (...args: unknown[]) => { asked.push(args); return 1e6 } } })) {
    t.match(await run(...places, fails), { status: 'FAILED', attempts: 3 })
  }
  t.same(asked, Array(3).fill([[error, 1], [error, 2]]).flat())
  for (const places of everywhere({ retry: { limit: 5, retryIf: (_error: unknown, attempt: number) => attempt < 2 } })) t.match(await run(...places, fails), { status: 'FAILED', attempts: 2 })
  for (const places of everywhere({ retry: 5 })) t.match(await run(...places, () => { throw new FatalTaskError() }), { status: 'FAILED', attempts: 1 })
  for (const places of everywhere({ timeout: 5 })) t.match(await run(...places, heeds), { status: 'FAILED', errors: [{ code: 'FST_TASKS_TIMEOUT' }] })
  t.match(await run({ retry: 0 }, {}, { retry: 5 }, fails), { attempts: 1 })
  t.match(await run({ timeout: null }, {}, { timeout: 1 }, async () => { await new Promise((resolve) => setTimeout(resolve, 20)) }), { status: 'SUCCESSFUL' })
})
