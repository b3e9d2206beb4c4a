import type { FastifyInstance } from 'fastify'
import { durationToMs, DURATION_RULE } from '../lib/core/duration.js'
import { INVALID_CONFIG } from '../lib/core/errors.js'
import { FLUSH_RETRY_MS } from '../lib/core/limits.js'
import type { BackendSettings } from '../lib/backends/backends.js'
import { checkWorkerOptions, workerOptionsFromEnv, type WorkerOptions } from '../lib/worker/options.js'
import { checkBackends } from './config-backends.js'
import { isObject, parseBoolean, refuseUnknown } from './checks.js'
import { readEnvironment, type Environment } from './environment.js'
import type { FastifyTasksOptions, FlushOn, RouteTasksConfig } from './options.js'

/** The options of the plugin, checked, with the environment and the defaults filled in. */
export interface Settings {
  readonly backends: ReadonlyMap<string, BackendSettings>
  /** Null: no worker in this process. */
  readonly worker: WorkerOptions | null
  readonly flushOn: FlushOn
  /** Milliseconds. */
  readonly flushRetry: number
  readonly discardOn: FastifyTasksOptions['discardOn']
  readonly onFlushError: FastifyTasksOptions['onFlushError']
  readonly taskLogLevel: string | undefined
  /** What an operator should know, as sentences. */
  readonly warnings: readonly string[]
}

const IMMEDIATE_IN_PRODUCTION = "NODE_ENV is production and no backend is configured: tasks run inside enqueue(), on the caller's time, and nothing is stored. Set TASKS_DATABASE_URL, or TASKS_BACKEND=immediate where that is meant."

// Fastify's own, which register() takes beside a plugin's.
const REGISTER_OPTIONS = ['prefix', 'logLevel', 'logSerializers']
const OPTIONS = ['tasks', 'backends', 'worker', 'env', 'flushOn', 'flushRetry', 'discardOn', 'onFlushError', 'taskLogLevel', ...REGISTER_OPTIONS]

/** @throws FST_TASKS_INVALID_CONFIG, FST_TASKS_INVALID_BACKEND, FST_TASKS_INVALID_OPTION (of the worker) */
export async function configure (app: FastifyInstance, options: FastifyTasksOptions): Promise<Settings> {
  refuseUnknown(options, OPTIONS, 'options')
  const { env = true, tasks = [] } = options
  if (typeof env !== 'boolean') throw new INVALID_CONFIG('env', 'it must be true or false.')
  if (!Array.isArray(tasks)) throw new INVALID_CONFIG('tasks', 'it must be an array of tasks.')
  const environment = env ? await readEnvironment(app) : {}
  const { backends, immediateByDefault } = checkBackends(options.backends, environment)
  return Object.freeze({
    backends,
    worker: checkWorker(options.worker, environment),
    flushOn: checkFlushOn(options.flushOn, 'flushOn') ?? 'onResponse',
    flushRetry: checkFlushRetry(options.flushRetry),
    discardOn: checkFunction(options.discardOn, 'discardOn'),
    onFlushError: checkFunction(options.onFlushError, 'onFlushError'),
    taskLogLevel: checkLogLevel(app, options.taskLogLevel),
    warnings: env && immediateByDefault && process.env.NODE_ENV === 'production' ? [IMMEDIATE_IN_PRODUCTION] : []
  })
}

/** @throws FST_TASKS_INVALID_CONFIG; `where` says which route */
export function checkRouteConfig (config: unknown, where: string): RouteTasksConfig {
  if (config === undefined || config === null) return {}
  const name = `config.tasks of route ${where}`
  refuseUnknown(config, ['flushOn', 'transaction'], name, `${name}: `)
  const { flushOn, transaction } = config as Record<string, unknown>
  if (transaction !== undefined && typeof transaction !== 'boolean' && typeof transaction !== 'string') {
    throw new INVALID_CONFIG(`${name}: transaction`, 'it must be true, false or the alias of a backend.')
  }
  return { flushOn: checkFlushOn(flushOn, `${name}: flushOn`), transaction }
}

function checkWorker (worker: unknown, environment: Environment): WorkerOptions | null {
  const embedded = environment.TASKS_EMBEDDED_WORKER
  const fromEnvironment = workerOptionsFromEnv(environment) // also where no worker is to run here: a bad value is told of
  const wanted = worker ?? (embedded !== undefined && parseBoolean(embedded, 'TASKS_EMBEDDED_WORKER'))
  if (wanted === false) return null
  if (wanted !== true && !isObject(wanted)) throw new INVALID_CONFIG('worker', 'it must be true, false or the options of a worker.')
  const given = wanted === true ? {} : wanted as WorkerOptions
  checkWorkerOptions(given)
  const defined = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  const options: WorkerOptions = { ...fromEnvironment, ...defined }
  checkWorkerOptions(options)
  return Object.freeze(options)
}

function checkFlushOn (value: unknown, name: string): FlushOn | undefined {
  if (value === undefined || value === 'onResponse' || value === 'onSend') return value
  throw new INVALID_CONFIG(name, "it must be 'onResponse' or 'onSend'.")
}

function checkFlushRetry (value: unknown): number {
  if (value === undefined) return FLUSH_RETRY_MS
  const ms = durationToMs(value)
  if (ms === null) throw new INVALID_CONFIG('flushRetry', `it ${DURATION_RULE}.`)
  return ms
}

function checkFunction<Fn> (value: Fn | undefined, name: string): Fn | undefined {
  if (value !== undefined && typeof value !== 'function') throw new INVALID_CONFIG(name, 'it must be a function.')
  return value
}

function checkLogLevel (app: FastifyInstance, level: unknown): string | undefined {
  if (level === undefined || level === 'silent') return level
  const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', ...Object.keys((app.log as { levels?: { values?: object } }).levels?.values ?? {})]
  if (typeof level === 'string' && levels.includes(level)) return level
  throw new INVALID_CONFIG('taskLogLevel', `it must be one of ${[...new Set(levels), 'silent'].join(', ')}.`)
}
