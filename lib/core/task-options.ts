import type { Knex } from 'knex'
import type { AnyTask, RetryOptions } from './task.js'
import { durationToMs, DURATION_RULE } from './duration.js'
import { INVALID_TASK } from './errors.js'
import * as limits from './limits.js'

/** The options of a task, checked: every field present, durations in milliseconds, deeply frozen. `undefined` = the backend's default. */
export interface CheckedOptions {
  readonly priority: number
  readonly queueName: string
  readonly backend: string
  readonly takesContext: boolean
  /** A moment, or milliseconds counted from the enqueue. */
  readonly runAfter: Date | number | null
  readonly retry: CheckedRetry | undefined
  /** Milliseconds; null for none. */
  readonly timeout: number | null | undefined
  readonly timeoutGrace: number | undefined
  readonly schema: object | null
  readonly uniqueKey: string | null
  readonly uniqueFor: 'ready' | 'unfinished' | number
  readonly onConflict: 'return' | 'replace' | 'throw'
  readonly concurrencyKey: string | null
  readonly concurrencyLimit: number | null
  readonly rateLimit: Readonly<{ max: number, every: number, key?: string }> | null
  readonly tags: readonly string[]
  readonly onSuccess: AnyTask | null
  readonly onFailure: AnyTask | null
  readonly isolation: CheckedIsolation | null
  readonly transaction: Knex.Transaction | null
}

/** What runs in a thread in place of the handler. */
export interface CheckedIsolation {
  /** URL of a file. */
  readonly module: string
  readonly export: string
  /** MB of heap; undefined for the default. */
  readonly memoryLimit: number | undefined
}

/** A retry rule with its defaults filled in; delays in milliseconds. */
export interface CheckedRetry {
  readonly limit: number
  readonly delay: number
  readonly backoff: NonNullable<RetryOptions['backoff']>
  readonly factor: number
  readonly maxDelay: number
  readonly jitter: number
  readonly retryIf: RetryOptions['retryIf']
}

type Refuse = (field: string, rule: string) => never
/** `base`: what the task says so far. */
type Check = (value: unknown, refuse: Refuse, base: CheckedOptions) => unknown

const DEFAULTS: CheckedOptions = Object.freeze({
  priority: 0,
  queueName: 'default',
  backend: 'default',
  takesContext: false,
  runAfter: null,
  retry: undefined,
  timeout: undefined,
  timeoutGrace: undefined,
  schema: null,
  uniqueKey: null,
  uniqueFor: 'unfinished',
  onConflict: 'return',
  concurrencyKey: null,
  concurrencyLimit: null,
  rateLimit: null,
  tags: Object.freeze([]),
  onSuccess: null,
  onFailure: null,
  isolation: null,
  transaction: null
})

/** What each option may be. `null` clears an option where its own rule allows it. */
const CHECKS: Record<keyof CheckedOptions, Check> = {
  priority: (value, refuse) => {
    const { PRIORITY_MIN: min, PRIORITY_MAX: max } = limits
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) refuse('priority', `must be a whole number from ${min} to ${max}`)
    return (value as number) + 0 // -0 is 0
  },
  queueName: pattern('queueName', limits.QUEUE_NAME_PATTERN, '1 to 128 characters of letters, digits, _ . : -'),
  backend: pattern('backend', limits.ALIAS_PATTERN, '1 to 64 characters of letters, digits, _ . : -'),
  takesContext: (value, refuse) => typeof value === 'boolean' ? value : refuse('takesContext', 'must be true or false'),
  runAfter: (value, refuse) => {
    if (value === null) return null
    if (!(value instanceof Date)) return durationToMs(value) ?? refuse('runAfter', `must be a Date, null or a duration: it ${DURATION_RULE}`)
    if (Number.isNaN(value.getTime())) refuse('runAfter', 'is an invalid Date')
    return Object.freeze(new Date(value))
  },
  retry: (value, refuse, { retry }) => checkRetry(value, refuse, retry),
  timeout: (value, refuse) => value === null ? null : positiveDuration('timeout', value, refuse),
  timeoutGrace: (value, refuse) => durationToMs(value) ?? refuse('timeoutGrace', DURATION_RULE),
  schema: (value, refuse) => {
    const { type } = (isObject(value) ? value : {}) as { type?: unknown }
    if (value !== null && !isObject(value)) refuse('schema', 'must be a JSON Schema of the array of arguments')
    if (type !== undefined && ![type].flat().includes('array')) refuse('schema', "must describe the array of arguments, with type: 'array', and not the first of them")
    return value
  },
  uniqueKey: key('uniqueKey'),
  uniqueFor: (value, refuse) => value === 'ready' || value === 'unfinished' ? value : positiveDuration('uniqueFor', value, refuse, "'ready', 'unfinished' or a duration; a duration "),
  onConflict: (value, refuse) => value === 'return' || value === 'replace' || value === 'throw' ? value : refuse('onConflict', "must be 'return', 'replace' or 'throw'"),
  concurrencyKey: key('concurrencyKey'),
  concurrencyLimit: (value, refuse) => value === null || (isCount(value) && (value as number) <= limits.CONCURRENCY_LIMIT_MAX) ? value : refuse('concurrencyLimit', `must be a whole number from 1 to ${limits.CONCURRENCY_LIMIT_MAX}`),
  rateLimit: (value, refuse) => value === null ? null : checkRateLimit(value, refuse),
  tags: (value, refuse) => checkTags(value, refuse),
  onSuccess: callback('onSuccess'),
  onFailure: callback('onFailure'),
  isolation: (value, refuse) => {
    if (value === null) return null
    const { module, export: name, memoryLimit, ...others } = (isObject(value) ? value : {}) as Record<string, unknown>
    if (typeof module !== 'string' || typeof name !== 'string' || name === '') refuse('isolation', 'must be { module: import.meta.url, export: name }')
    if (!URL.canParse(module as string) || new URL(module as string).protocol !== 'file:') refuse('isolation.module', 'must be the URL of a file, such as import.meta.url')
    const [unknown] = Object.keys(others)
    if (unknown !== undefined) refuse(`isolation.${unknown}`, 'is not an option; there are module, export and memoryLimit')
    const min = limits.ISOLATION_MEMORY_MIN_MB
    if (memoryLimit !== undefined && (!isCount(memoryLimit) || (memoryLimit as number) < min)) refuse('isolation.memoryLimit', `must be a whole number of megabytes from ${min}`)
    return Object.freeze({ module, export: name, memoryLimit })
  },
  transaction: (value, refuse) => value === null || isTransaction(value) ? value : refuse('transaction', 'must be a Knex transaction')
}

const ONLY_USING: ReadonlySet<string> = new Set(['runAfter', 'transaction'])
const ONLY_DEFINITION: ReadonlySet<string> = new Set(['takesContext', 'schema', 'isolation'])

/** Check what `task()` was given. @throws FST_TASKS_INVALID_TASK */
export function checkDefinition (name: unknown, options: unknown): CheckedOptions {
  if (typeof name !== 'string' || !limits.TASK_NAME_PATTERN.test(name)) {
    throw new INVALID_TASK(typeof name === 'string' ? name.slice(0, 128) : typeof name, 'its name must be 1 to 128 characters of letters, digits, _ . : -')
  }
  return check(name, DEFAULTS, options, ONLY_USING, 'belongs to one enqueue: say it with using()')
}

/** Check what `using()` was given, on top of what the task says. @throws FST_TASKS_INVALID_TASK */
export function checkOverrides (name: string, base: CheckedOptions, overrides: unknown): CheckedOptions {
  return check(name, base, overrides, ONLY_DEFINITION, 'belongs to the definition and cannot be changed')
}

/** Check a `retry` option wherever one may be given. What it does not say stays as in `base`. */
export function checkRetry (value: unknown, refuse: Refuse, base: CheckedRetry = RETRY_DEFAULTS): CheckedRetry {
  const given = (typeof value === 'number' ? { limit: value } : value) as Record<string, unknown>
  if (!isObject(given)) refuse('retry', 'must be a number of retries or { limit, delay, backoff, factor, maxDelay, jitter, retryIf }')
  const unknown = Object.keys(given).find((field) => !Object.hasOwn(RETRY_DEFAULTS, field))
  if (unknown !== undefined) refuse(`retry.${unknown}`, 'is not an option')
  // A delay that somebody says is not for a function to overrule that was defined before.
  const isTimed = given['delay'] !== undefined || given['factor'] !== undefined
  const before = isTimed && typeof base.backoff === 'function' ? { ...base, backoff: RETRY_DEFAULTS.backoff } : base
  const retry = { ...before, ...dropUndefined(given) } as Record<keyof CheckedRetry, unknown>
  const { limit, backoff, factor, jitter, retryIf } = retry
  if (!Number.isInteger(limit) || (limit as number) < 0 || (limit as number) > limits.RETRY_LIMIT_MAX) refuse('retry.limit', `must be a whole number from 0 to ${limits.RETRY_LIMIT_MAX}`)
  if (backoff !== 'exponential' && backoff !== 'fixed' && typeof backoff !== 'function') refuse('retry.backoff', "must be 'exponential', 'fixed' or a function")
  if (!Number.isFinite(factor) || (factor as number) < 1) refuse('retry.factor', 'must be a number from 1')
  if (!Number.isFinite(jitter) || (jitter as number) < 0 || (jitter as number) > 1) refuse('retry.jitter', 'must be a number from 0 to 1')
  if (retryIf !== undefined && typeof retryIf !== 'function') refuse('retry.retryIf', 'must be a function')
  const delay = durationToMs(retry.delay) ?? refuse('retry.delay', DURATION_RULE)
  const maxDelay = durationToMs(retry.maxDelay) ?? refuse('retry.maxDelay', DURATION_RULE)
  // A maximum that nobody has asked for does not shorten a delay that somebody has.
  return Object.freeze({ ...retry, delay, maxDelay: given['maxDelay'] === undefined ? Math.max(maxDelay, delay) : maxDelay }) as CheckedRetry
}

const RETRY_DEFAULTS: CheckedRetry = Object.freeze({
  limit: 0,
  delay: limits.RETRY_DELAY_MS,
  backoff: 'exponential',
  factor: limits.RETRY_FACTOR,
  maxDelay: limits.RETRY_MAX_DELAY_MS,
  jitter: limits.RETRY_JITTER,
  retryIf: undefined
})

function check (name: string, base: CheckedOptions, options: unknown, forbidden: ReadonlySet<string>, reason: string): CheckedOptions {
  const refuse: Refuse = (field, rule) => { throw new INVALID_TASK(name, `${field} ${rule}.`) }
  if (!isObject(options)) throw new INVALID_TASK(name, 'its options must be an object.')
  const changed: Record<string, unknown> = { ...base }
  for (const [field, value] of Object.entries(options)) {
    if (value === undefined) continue
    if (!Object.hasOwn(CHECKS, field)) refuse(field, 'is not an option')
    if (forbidden.has(field)) refuse(field, reason)
    changed[field] = CHECKS[field as keyof CheckedOptions](value, refuse, base)
  }
  // A limit goes with its key, unless it is said anew.
  const { concurrencyKey, concurrencyLimit } = options as Partial<CheckedOptions>
  if (concurrencyKey === null && concurrencyLimit === undefined) changed['concurrencyLimit'] = null
  const checked = changed as unknown as CheckedOptions
  if (checked.concurrencyLimit !== null && checked.concurrencyKey === null) refuse('concurrencyLimit', 'needs a concurrencyKey')
  return Object.freeze(checked)
}

function checkTags (value: unknown, refuse: Refuse): readonly string[] {
  const valid = Array.isArray(value) && value.length <= limits.TAGS_MAX && value.every((tag) => isKey(tag))
  if (!valid) refuse('tags', `must be at most ${limits.TAGS_MAX} strings of 1 to ${limits.KEY_LENGTH_MAX} characters`)
  return Object.freeze([...new Set(value as string[])])
}

function checkRateLimit (value: unknown, refuse: Refuse): unknown {
  const { max, every, key: name, ...others } = (isObject(value) ? value : {}) as Record<string, unknown>
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) refuse(`rateLimit.${unknown}`, 'is not an option; there are max, every and key')
  if (!isCount(max)) refuse('rateLimit.max', 'must be a whole number from 1')
  if (name !== undefined && !isKey(name)) refuse('rateLimit.key', `must be a string of 1 to ${limits.KEY_LENGTH_MAX} characters`)
  return Object.freeze({ max, every: positiveDuration('rateLimit.every', every, refuse), ...(name !== undefined && { key: name }) })
}

function positiveDuration (field: string, value: unknown, refuse: Refuse, prefix = ''): number {
  const parsed = durationToMs(value)
  if (parsed === null || parsed === 0) refuse(field, prefix === '' ? `${DURATION_RULE}, and not 0` : `must be ${prefix}${DURATION_RULE}, and not 0`)
  return parsed as number
}

function pattern (field: string, rule: RegExp, text: string): Check {
  return (value, refuse) => typeof value === 'string' && rule.test(value) ? value : refuse(field, `must be ${text}`)
}

function key (field: string): Check {
  return (value, refuse) => value === null || isKey(value) ? value : refuse(field, `must be a string of 1 to ${limits.KEY_LENGTH_MAX} characters, without NUL`)
}

function callback (field: string): Check {
  // A task is a function that has using() and enqueue(); task.ts, which makes them, imports this file.
  const isTask = (value: unknown): boolean => typeof value === 'function' && 'using' in value && 'enqueue' in value
  return (value, refuse) => value === null || isTask(value) ? value : refuse(field, 'must be a task')
}

export function isKey (value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= limits.KEY_LENGTH_MAX && !value.includes('\0') && value.isWellFormed()
}

function isCount (value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 1
}

function isObject (value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isTransaction (value: unknown): boolean {
  return typeof value === 'function' && 'commit' in value && 'rollback' in value && 'executionPromise' in value
}

function dropUndefined (value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined))
}
