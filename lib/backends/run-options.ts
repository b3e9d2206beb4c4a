import type { Duration, RetryOptions } from '../core/task.js'
import { checkRetry, type CheckedRetry } from '../core/task-options.js'
import { durationToMs, DURATION_RULE } from '../core/duration.js'
import { INVALID_CONFIG } from '../core/errors.js'
import { ARGUMENT_BYTES_MAX, CRASH_BUDGET, DEPTH_MAX, PRUNE_FAILED_MIN_AGE_MS, PRUNE_MIN_AGE_MS, RESULT_BYTES_MAX, TIMEOUT_GRACE_MS } from '../core/limits.js'

/** How values are kept, in place of JSON: other formats, encryption. It is given only what the JSON gate lets through. */
export interface Serializer {
  encode (value: unknown): string | Promise<string>
  decode (text: string): unknown
}

/**
 * The options of the built-in backends. All three accept all of them, so that an app can change the kind of its backend
 * by an environment variable alone; one that has no use for an option ignores it.
 */
export interface RunOptions {
  /** Database: create and upgrade the tables at start. Default: true. */
  migrate?: boolean | undefined
  /** Database: deaths of the process after which a task is not tried again. Default: 3. */
  crashBudget?: number | undefined
  /** Database: how arguments, return values and progress are stored. Default: as JSON. */
  serializer?: Serializer | undefined
  /** UTF-8 bytes of the arguments as JSON. Default: 256 KiB. */
  maxArgumentBytes?: number | undefined
  /** UTF-8 bytes of a return value or of progress as JSON. Default: 256 KiB. */
  maxResultBytes?: number | undefined
  /** Nested arrays and objects in one value. Default: 64. */
  maxDepth?: number | undefined
  /**
   * Database: how long a worker leaves finished results before it deletes them: one duration for all, or by status;
   * `null` keeps them. Default: 14 days, FAILED ones 30.
   */
  retention?: Duration | null | { successful?: Duration | null | undefined, failed?: Duration | null | undefined, cancelled?: Duration | null | undefined } | undefined
  /** For tasks that do not say it themselves. Default: no retries. */
  retry?: number | RetryOptions | undefined
  /** For tasks that do not say it themselves. Default: none. */
  timeout?: Duration | null | undefined
  /** What an aborted attempt gets to settle. Default: 5 s. */
  timeoutGrace?: Duration | undefined
}

/** Milliseconds that a finished result is kept, by its status; null for ever. */
export interface Retention {
  readonly successful: number | null
  readonly failed: number | null
  readonly cancelled: number | null
}

/** As above, checked; durations in milliseconds. */
export interface CheckedRunOptions {
  readonly migrate: boolean
  readonly crashBudget: number
  readonly serializer: Serializer | undefined
  readonly maxArgumentBytes: number
  readonly maxResultBytes: number
  readonly maxDepth: number
  readonly retention: Retention
  readonly retry: CheckedRetry | undefined
  readonly timeout: number | null
  readonly timeoutGrace: number
}

const VALUE_DEPTH_MAX = 1_000 // above it a walk over a value could overflow the stack
const VALUE_BYTES_MAX = 256 * 1024 * 1024 // half of the longest string that V8 makes

/** Check the `options` of a built-in backend. @throws FST_TASKS_INVALID_CONFIG */
export function checkRunOptions (alias: string, options: RunOptions = {}): CheckedRunOptions {
  const refuse = (field: string, rule: string): never => { throw new INVALID_CONFIG(`backends.${alias}.options.${field}`, `it ${rule}.`) }
  const unknown = Object.keys(options).find((field) => !FIELDS.has(field))
  if (unknown !== undefined) refuse(unknown, `is no option of this backend; these are: ${[...FIELDS].join(', ')}`)
  const count = (field: 'crashBudget' | 'maxArgumentBytes' | 'maxResultBytes' | 'maxDepth', fallback: number, max: number): number => {
    const value = options[field] ?? fallback
    return Number.isSafeInteger(value) && value >= 1 && value <= max ? value : refuse(field, `must be a whole number from 1 to ${max}`)
  }
  const duration = (field: 'timeout' | 'timeoutGrace', value: unknown): number => durationToMs(value) ?? refuse(field, DURATION_RULE)
  const { migrate = true, serializer, retry, timeout = null, timeoutGrace = TIMEOUT_GRACE_MS } = options
  if (typeof migrate !== 'boolean') refuse('migrate', 'must be true or false')
  if (serializer !== undefined && !isSerializer(serializer)) refuse('serializer', 'must be an object with the functions encode and decode')
  const ms = timeout === null ? null : duration('timeout', timeout)
  if (ms === 0) refuse('timeout', 'must not be 0; null means none')
  return Object.freeze({
    migrate,
    crashBudget: count('crashBudget', CRASH_BUDGET, 1_000),
    serializer,
    maxArgumentBytes: count('maxArgumentBytes', ARGUMENT_BYTES_MAX, VALUE_BYTES_MAX),
    maxResultBytes: count('maxResultBytes', RESULT_BYTES_MAX, VALUE_BYTES_MAX),
    maxDepth: count('maxDepth', DEPTH_MAX, VALUE_DEPTH_MAX),
    retention: checkRetention(options.retention, refuse),
    retry: retry === undefined ? undefined : checkRetry(retry, refuse),
    timeout: ms,
    timeoutGrace: duration('timeoutGrace', timeoutGrace)
  })
}

const FIELDS: ReadonlySet<string> = new Set<keyof RunOptions>(['migrate', 'crashBudget', 'serializer', 'maxArgumentBytes', 'maxResultBytes', 'maxDepth', 'retention', 'retry', 'timeout', 'timeoutGrace'])

const RETENTION: Retention = Object.freeze({ successful: PRUNE_MIN_AGE_MS, failed: PRUNE_FAILED_MIN_AGE_MS, cancelled: PRUNE_MIN_AGE_MS })

function checkRetention (given: RunOptions['retention'], refuse: (field: string, rule: string) => never): Retention {
  if (given === undefined) return RETENTION
  const age = (field: string, value: unknown): number | null => value === null ? null : durationToMs(value) ?? refuse(field, `${DURATION_RULE}, or must be null, which keeps them`)
  if (typeof given !== 'object' || given === null) {
    const all = age('retention', given)
    return Object.freeze({ successful: all, failed: all, cancelled: all })
  }
  const unknown = Object.keys(given).find((status) => !Object.hasOwn(RETENTION, status))
  if (unknown !== undefined) refuse(`retention.${unknown}`, 'is no status that ends; these are: successful, failed, cancelled')
  const of = (status: keyof Retention): number | null => given[status] === undefined ? RETENTION[status] : age(`retention.${status}`, given[status])
  return Object.freeze({ successful: of('successful'), failed: of('failed'), cancelled: of('cancelled') })
}

function isSerializer (value: unknown): boolean {
  const { encode, decode } = (value ?? {}) as Partial<Serializer>
  return typeof encode === 'function' && typeof decode === 'function'
}
