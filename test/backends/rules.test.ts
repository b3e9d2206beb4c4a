import t from 'tap'
import { task, type UsingOptions } from 'fastify-tasks'
import { decodeRules, encodeRules } from '#lib/backends/rules.js'
import { optionsOf } from '#lib/core/task.js'

const DEFAULTS = Object.freeze({ retry: undefined, timeout: null, timeoutGrace: 5_000 })

t.test('a row says only what using() changed', async (t) => {
  const definition = task('a', { timeout: '1m', retry: 3 }, async () => {})
  t.equal(encodeRules(definition, definition), null)
  t.equal(encodeRules(definition.using({ priority: 5 }), definition), null)
  t.same(JSON.parse(encodeRules(definition.using({ timeout: '2m' }), definition) ?? ''), { timeout: 120_000 })
  t.same(JSON.parse(encodeRules(definition.using({ timeout: null, timeoutGrace: 1 }), definition) ?? ''), { timeout: null, timeoutGrace: 1 })
})

t.test('rules come back as they were said: of the row, else of the task, else of the backend', async (t) => {
  const definition = task('a', { retry: { limit: 3, delay: '2s' } }, async () => {})
  const defaults = { retry: optionsOf(task('x', { retry: 9 }, async () => {})).retry, timeout: 7, timeoutGrace: 8 }
  t.same(decodeRules(null, definition, defaults), { retry: optionsOf(definition).retry, timeout: 7, timeoutGrace: 8 })
  t.same(decodeRules(null, task('b', async () => {}), defaults).retry, defaults.retry)
  const changed = definition.using({ retry: { limit: 1, backoff: 'fixed', jitter: 0 }, timeout: null })
  t.same(decodeRules(encodeRules(changed, definition), definition, defaults), { retry: optionsOf(changed).retry, timeout: null, timeoutGrace: 8 })
})

t.test('functions stay in the definition: another one is refused, the same one is found again', async (t) => {
  const [backoff, retryIf] = [(): number => 5, (): boolean => true]
  const definition = task('a', { retry: { limit: 3, backoff, retryIf } }, async () => {})
  t.throws(() => encodeRules(definition.using({ retry: { limit: 1, backoff: () => 6 } }), definition), { code: 'FST_TASKS_INVALID_TASK', message: /retry\.backoff/ })
  t.throws(() => encodeRules(definition.using({ retry: { limit: 1, retryIf: () => false } }), definition), { code: 'FST_TASKS_INVALID_TASK', message: /retry\.retryIf/ })
  const text = encodeRules(definition.using({ retry: { limit: 1, backoff, retryIf } }), definition)
  t.match(decodeRules(text, definition, DEFAULTS).retry, { limit: 1, backoff, retryIf })
  const without = task('a', { retry: 1 }, async () => {})
  t.match(decodeRules(text, without, DEFAULTS).retry, { limit: 1, backoff: 'exponential', retryIf: undefined }, 'a deploy may have taken them away')
  t.match(decodeRules(encodeRules(definition.using({ retry: 2 }), definition), definition, DEFAULTS).retry, { limit: 2, backoff, retryIf }, 'what using() does not say stays')
})

t.test('using() changes of a retry rule what it says, and leaves the rest as defined', async (t) => {
  const retryIf = (): boolean => false
  const definition = task('a', { retry: { limit: 3, delay: '10s', factor: 3, maxDelay: '1m', jitter: 0, retryIf } }, async () => {})
  const rule = (retry: UsingOptions['retry']): unknown => decodeRules(encodeRules(definition.using({ retry }), definition), definition, DEFAULTS).retry
  t.match(rule(7), { limit: 7, delay: 10_000, backoff: 'exponential', factor: 3, maxDelay: 60_000, jitter: 0, retryIf })
  t.match(rule({ delay: '2m' }), { limit: 3, delay: 120_000, factor: 3, maxDelay: 120_000, retryIf })
  t.match(rule({ backoff: 'fixed', limit: undefined }), { limit: 3, delay: 10_000, backoff: 'fixed' })
  const byFunction = task('b', { retry: { limit: 3, backoff: () => 5 } }, async () => {})
  t.match(optionsOf(byFunction.using({ retry: { delay: 0 } })).retry, { limit: 3, delay: 0, backoff: 'exponential' }, 'a delay takes the place of a function')
})
