import { parseArgs } from 'node:util'
import type { Duration } from '../core/task.js'
import { durationToMs, DURATION_RULE } from '../core/duration.js'
import { INVALID_OPTION } from '../core/errors.js'
import * as limits from '../core/limits.js'

/**
 * What a worker may be told, in code; the flags of the command line and `TASKS_WORKER_*` are the same by other names.
 * Durations are milliseconds or strings such as `'90s'`.
 */
export interface WorkerOptions {
  /** Queues to take from, as a list or with commas between them; all unless said otherwise. */
  queueName?: string | readonly string[] | undefined
  /** Queues to leave alone. */
  excludeQueues?: string | readonly string[] | undefined
  /** Alias of the backend: `default`. */
  backend?: string | undefined
  /** Attempts at a time in a process, 1 to 10,000: 10. */
  concurrency?: number | undefined
  /** Worker processes under one supervisor, 1 to 256: 1. For `runWorker` and the command line. */
  processes?: number | undefined
  /** Poll this often when nothing wakes the worker: 1s. */
  interval?: Duration | undefined
  /** Drain what is ready, then end. */
  batch?: boolean | undefined
  /** End after this many attempts. */
  maxTasks?: number | null | undefined
  /** Megabytes above which a worker process is replaced: a share of what there is. For `runWorker` and the command line. */
  maxMemory?: number | null | undefined
  /** A label of 1 to 40 characters of letters, digits, `_ . : -`, with which the worker's random id begins. */
  workerId?: string | null | undefined
  /** Longest time the event loop may stand still, below the lease: two thirds of it. */
  maxBlock?: Duration | undefined
  /** Begin after a random delay up to this: 0. */
  startupDelay?: Duration | undefined
  /** What a stopping worker gives running attempts before it aborts them: 30s. */
  shutdownGrace?: Duration | undefined
  /** How long a silent worker keeps its claims, at least 100ms: 30s. */
  lease?: Duration | undefined
  /** How often dead workers are looked for: 5s. */
  sweep?: Duration | undefined
  /** False for polling alone, behind a transaction pooler: true. */
  listen?: boolean | undefined
}

/** Worker options, checked: every field present, durations in milliseconds. Frozen. */
export interface CheckedWorkerOptions {
  /** Null for all. */
  readonly queueName: readonly string[] | null
  readonly excludeQueues: readonly string[]
  readonly backend: string
  readonly concurrency: number
  readonly processes: number
  readonly interval: number
  readonly batch: boolean
  readonly maxTasks: number | null
  /** Megabytes; null for a share of what there is. */
  readonly maxMemory: number | null
  readonly workerId: string | null
  readonly maxBlock: number
  readonly startupDelay: number
  readonly shutdownGrace: number
  readonly lease: number
  readonly sweep: number
  readonly listen: boolean
}

type Kind = 'names' | 'name' | 'label' | 'count' | 'duration' | 'boolean'

/** One option by all of its names. */
export interface WorkerOption {
  readonly name: keyof WorkerOptions
  /** Without the dashes. A `no-` flag says false. */
  readonly flag: string
  readonly env: string
  readonly kind: Kind
  /** What stands behind the flag in a help text; absent for a flag without a value. */
  readonly value?: string
  /** As it is printed; absent where there is none. */
  readonly default?: string
  readonly help: string
}

/** THE table of worker options: the plugin, the command line and `runWorker` read this one. */
export const WORKER_OPTIONS: readonly WorkerOption[] = Object.freeze([
  row('queueName', 'names', 'a,b', 'all', 'Queues to take from.'),
  row('excludeQueues', 'names', 'c', 'none', 'Queues to leave alone.'),
  row('backend', 'name', 'ALIAS', 'default', 'Alias of the backend.'),
  row('concurrency', 'count', 'N', String(limits.CONCURRENCY), 'Attempts at a time in a process.'),
  row('processes', 'count', 'N', '1', 'Worker processes under one supervisor.'),
  row('interval', 'duration', 'TIME', printed(limits.INTERVAL_MS), 'Poll this often when nothing wakes the worker.'),
  row('batch', 'boolean', undefined, 'off', 'Drain what is ready, then exit 0.'),
  row('maxTasks', 'count', 'N', undefined, 'Exit after that many attempts.'),
  row('maxMemory', 'count', 'MB', undefined, 'Replace a worker process that has grown above so many megabytes; by default 60% of the memory of the container or host, shared by the processes.'),
  row('workerId', 'label', 'LABEL', undefined, 'A label with which the random id of the worker begins, 1 to 40 characters.'),
  row('maxBlock', 'duration', 'TIME', 'two thirds of the lease', 'Longest time the event loop may stand still; must be below the lease.'),
  row('startupDelay', 'duration', 'TIME', '0', 'Begin after a random delay up to this.'),
  row('shutdownGrace', 'duration', 'TIME', printed(limits.SHUTDOWN_GRACE_MS), 'What SIGTERM gives running attempts.'),
  row('lease', 'duration', 'TIME', printed(limits.LEASE_MS), 'How long a silent worker keeps its claims.'),
  row('sweep', 'duration', 'TIME', printed(limits.SWEEP_MS), 'How often dead workers are looked for.'),
  row('listen', 'boolean', undefined, 'off', 'Polling alone, for a transaction pooler.', 'no-listen')
])

/** Check options given in code. @throws FST_TASKS_INVALID_OPTION */
export function checkWorkerOptions (options: WorkerOptions): CheckedWorkerOptions {
  return check(options, (name) => name)
}

/** The options that `TASKS_WORKER_*` say. @throws FST_TASKS_INVALID_OPTION, which names the variable */
export function workerOptionsFromEnv (env: Readonly<Record<string, unknown>>): WorkerOptions {
  const found: Record<string, unknown> = {}
  for (const option of WORKER_OPTIONS) {
    const value = env[option.env]
    if (value === undefined || value === '') continue
    found[option.name] = typeof value === 'string' ? fromText(option, value, option.env) : value
  }
  return found
}

/**
 * The options that flags say; `help` where `--help` is among them.
 * @throws FST_TASKS_INVALID_OPTION, which names the flag
 */
export function workerOptionsFromFlags (argv: readonly string[]): { options: WorkerOptions, help: boolean } {
  const options = Object.fromEntries(WORKER_OPTIONS.map(({ flag, kind }) => [flag, { type: kind === 'boolean' ? 'boolean' : 'string', multiple: kind === 'names' }] as const))
  let values: Record<string, unknown>
  try {
    values = parseArgs({ args: [...argv], options: { ...options, help: { type: 'boolean', short: 'h' } }, strict: true, allowPositionals: false }).values
  } catch (error) {
    throw flagError(error as Error & { code?: string }, argv)
  }
  const found: Record<string, unknown> = {}
  for (const option of WORKER_OPTIONS) {
    const value = values[option.flag]
    if (value === undefined) continue
    if (option.kind === 'boolean') found[option.name] = !option.flag.startsWith('no-')
    else found[option.name] = fromText(option, Array.isArray(value) ? value.join(',') : value as string, `--${option.flag}`)
  }
  return { options: found, help: values.help === true }
}

/**
 * What a worker process runs with: flags win over code, code over the environment.
 * @throws FST_TASKS_INVALID_OPTION, which names the flag or the variable
 */
export function resolveWorkerOptions (sources: { flags: WorkerOptions, code: WorkerOptions, env: WorkerOptions }): CheckedWorkerOptions {
  const { flags, code, env } = sources
  const given = (source: WorkerOptions, name: string): boolean => (source as Record<string, unknown>)[name] !== undefined
  return check({ ...env, ...defined(code), ...flags }, (name) => {
    const option = WORKER_OPTIONS.find((known) => known.name === name)
    if (option === undefined || (!given(flags, name) && given(code, name))) return name
    return given(flags, name) || !given(env, name) ? `--${option.flag}` : option.env
  })
}

const CHECKS: Record<Kind, (value: unknown, label: string) => unknown> = {
  names: (value, label) => {
    if (value === null) return null
    const names: unknown = typeof value === 'string' ? value.split(',').map((name) => name.trim()) : value
    const valid = Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === 'string' && limits.QUEUE_NAME_PATTERN.test(name))
    return valid ? Object.freeze([...new Set(names as string[])]) : refuse(label, 'must be names of queues with commas between them: each of 1 to 128 characters of letters, digits, _ . : -')
  },
  name: (value, label) => typeof value === 'string' && limits.ALIAS_PATTERN.test(value) ? value : refuse(label, 'must be the alias of a backend'),
  label: (value, label) => value === null || (typeof value === 'string' && limits.WORKER_LABEL_PATTERN.test(value)) ? value : refuse(label, 'must be 1 to 40 characters of letters, digits, _ . : -'),
  count: (value, label) => Number.isSafeInteger(value) && (value as number) >= 1 ? value : refuse(label, 'must be a whole number from 1'),
  duration: (value, label) => durationToMs(value) ?? refuse(label, DURATION_RULE),
  boolean: (value, label) => typeof value === 'boolean' ? value : refuse(label, 'must be true or false')
}

function check (given: WorkerOptions, nameOf: (name: string) => string): CheckedWorkerOptions {
  if (typeof given !== 'object' || given === null) refuse('options', 'must be an object')
  const checked: Record<string, unknown> = {
    queueName: null,
    excludeQueues: [],
    backend: 'default',
    concurrency: limits.CONCURRENCY,
    processes: 1,
    interval: limits.INTERVAL_MS,
    batch: false,
    maxTasks: null,
    maxMemory: null,
    workerId: null,
    startupDelay: 0,
    shutdownGrace: limits.SHUTDOWN_GRACE_MS,
    lease: limits.LEASE_MS,
    sweep: limits.SWEEP_MS,
    listen: true
  }
  for (const [name, value] of Object.entries(given)) {
    const option = WORKER_OPTIONS.find((known) => known.name === name)
    if (option === undefined) refuse(name, `is no option of a worker; these are: ${WORKER_OPTIONS.map((known) => known.name).join(', ')}`)
    if (value === undefined || (value === null && (name === 'maxTasks' || name === 'maxMemory'))) continue
    checked[name] = CHECKS[option.kind](value, nameOf(name)) ?? checked[name]
  }
  const options = { maxBlock: (checked.lease as number) * limits.MAX_BLOCK_SHARE, ...checked } as unknown as CheckedWorkerOptions
  checkRanges(options, nameOf)
  return Object.freeze(options)
}

function checkRanges (options: CheckedWorkerOptions, nameOf: (name: string) => string): void {
  const { concurrency, processes, lease, maxBlock } = options
  if (concurrency > limits.CONCURRENCY_MAX) refuse(nameOf('concurrency'), `must be at most ${limits.CONCURRENCY_MAX}`)
  if (processes > limits.PROCESSES_MAX) refuse(nameOf('processes'), `must be at most ${limits.PROCESSES_MAX}`)
  if (lease < limits.LEASE_MIN_MS) refuse(nameOf('lease'), `must be at least ${limits.LEASE_MIN_MS} ms`)
  if (maxBlock <= 0) refuse(nameOf('maxBlock'), 'must be above 0')
  if (maxBlock >= lease) refuse(nameOf('maxBlock'), `must be below the lease of ${lease} ms: a worker whose loop stands still longer than its lease could lose what it runs`)
  for (const name of ['interval', 'sweep'] as const) {
    if (options[name] < 1) refuse(nameOf(name), 'must be at least 1 ms')
  }
}

/** From a shell everything is a string: bare digits are milliseconds, as a number is in code. */
function fromText ({ kind }: WorkerOption, text: string, label: string): unknown {
  switch (kind) {
    case 'boolean':
      if (/^(?:true|1|on|yes)$/i.test(text)) return true
      return /^(?:false|0|off|no)$/i.test(text) ? false : refuse(label, 'must be true or false')
    case 'count': return CHECKS.count(/^\d+$/.test(text) ? Number(text) : NaN, label)
    case 'duration': return CHECKS.duration(/^\d+$/.test(text) ? Number(text) : text, label)
    default: return CHECKS[kind](text, label)
  }
}

/** parseArgs' own errors, by our code and with the flag that they are about. */
function flagError (error: Error & { code?: string }, argv: readonly string[]): Error {
  if (error.code?.startsWith('ERR_PARSE_ARGS') !== true) return error
  const quoted = /'(-[^'= ]*)/.exec(error.message)?.[1] ?? /'([^']*)'/.exec(error.message)?.[1]
  const name = (quoted ?? argv[0] ?? 'the command line').slice(0, 60).replace(/\p{Cc}/gu, '?')
  const reasons: Record<string, string> = {
    ERR_PARSE_ARGS_UNKNOWN_OPTION: 'there is no such flag; see --help',
    ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL: 'flags begin with --; see --help',
    ERR_PARSE_ARGS_INVALID_OPTION_VALUE: error.message.includes('does not take') ? 'it takes no value' : 'its value is missing'
  }
  return new INVALID_OPTION(name, reasons[error.code] ?? 'see --help')
}

function row (name: keyof WorkerOptions, kind: Kind, value: string | undefined, fallback: string | undefined, help: string, flag = kebab(name)): WorkerOption {
  return Object.freeze({ name, flag, env: `TASKS_WORKER_${kebab(name).replaceAll('-', '_').toUpperCase()}`, kind, help, ...(value !== undefined && { value }), ...(fallback !== undefined && { default: fallback }) })
}

function kebab (name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function printed (milliseconds: number): string {
  return `${milliseconds / 1_000}s`
}

function defined (options: WorkerOptions): WorkerOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function refuse (label: string, rule: string): never {
  throw new INVALID_OPTION(label, rule)
}
