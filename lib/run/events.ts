import { channel, type Channel } from 'node:diagnostics_channel'
import type { FastifyBaseLogger } from 'fastify'
import type { TaskResult } from '../core/result.js'
import type { StoredError } from '../store/store.js'
import { INVALID_OPTION } from '../core/errors.js'
import { briefFailure } from '../core/failure.js'
import { CLOSE_HOOKS_MS, HOOK_TIMEOUT_MS } from '../core/limits.js'
import { withinAttempt } from './current.js'
import { logFields } from './log-fields.js'

/** `onFinished` is for all three endings. */
export type HookName = 'onEnqueued' | 'onStarted' | 'onRetried' | 'onFinished'

/** Is given a snapshot of the result. What it returns is awaited only to log its failure. */
export type TaskHook = (result: TaskResult) => unknown

export interface EventsOptions {
  readonly log: FastifyBaseLogger
  /** Level of the line about a success: a level of the logger, or `'silent'`. Default `'info'`. */
  readonly taskLogLevel?: string | undefined
  /** Milliseconds after which a hook that has not returned is logged. */
  readonly hookTimeout?: number | undefined
}

/** What an event can say beyond its result. */
export interface EventDetails {
  /** 1 is the first; default `result.attempts`. */
  readonly attempt?: number | undefined
  readonly durationMs?: number | undefined
  /** Milliseconds until a retry. */
  readonly delay?: number | undefined
  /** The failure of this attempt; default: the newest of `result.errors`. */
  readonly error?: Pick<StoredError, 'exceptionClass' | 'code'> | undefined
}

const CHANNELS: Readonly<Record<HookName, Channel>> = Object.freeze({
  onEnqueued: channel('fastify-tasks:enqueued'),
  onStarted: channel('fastify-tasks:started'),
  onRetried: channel('fastify-tasks:retried'),
  onFinished: channel('fastify-tasks:finished')
})

/**
 * What happens to the results of one app, told to its hooks, to `node:diagnostics_channel` and to the log. Telling
 * changes no outcome and delays none: `emit` never throws and waits for nothing. Where nobody listens it costs a few
 * comparisons; a caller that would have to make the result first asks `wants`.
 */
export class Events {
  readonly #log: FastifyBaseLogger
  readonly #level: string
  readonly #hookTimeout: number
  readonly #hooks: Record<HookName, TaskHook[]> = { onEnqueued: [], onStarted: [], onRetried: [], onFinished: [] }
  readonly #running = new Set<NodeJS.Timeout>()
  #idle: Array<() => void> = []

  /** @throws FST_TASKS_INVALID_OPTION where the logger has no such level */
  constructor ({ log, taskLogLevel = 'info', hookTimeout = HOOK_TIMEOUT_MS }: EventsOptions) {
    if (taskLogLevel !== 'silent' && !isLevel(log, taskLogLevel)) throw new INVALID_OPTION('taskLogLevel', "it must be a level of the app's logger, or 'silent'.")
    this.#log = log
    this.#level = taskLogLevel
    this.#hookTimeout = hookTimeout
  }

  /** Hooks of one name are called in the order in which they were added. @throws FST_TASKS_INVALID_OPTION */
  addHook (name: HookName, hook: TaskHook): void {
    if (!Object.hasOwn(CHANNELS, name)) throw new INVALID_OPTION('The name of a hook', `it must be one of ${Object.keys(CHANNELS).join(', ')}.`)
    if (typeof hook !== 'function') throw new INVALID_OPTION(`The hook for ${name}`, 'it must be a function.')
    this.#hooks[name].push(hook)
  }

  /** True where somebody would hear of it. `status`: of the result that `onFinished` would be about. */
  wants (name: HookName, status: TaskResult['status'] = 'SUCCESSFUL'): boolean {
    return this.#hooks[name].length > 0 || CHANNELS[name].hasSubscribers || isEnabled(this.#log, this.#levelOf(name, status))
  }

  emit (name: HookName, result: TaskResult, details: EventDetails = {}): void {
    try {
      const level = this.#levelOf(name, result.status)
      if (isEnabled(this.#log, level)) this.#write(level, name, result, details)
      // Outside of any attempt: a task that enqueues is not to blame for who listens.
      if (CHANNELS[name].hasSubscribers || this.#hooks[name].length > 0) withinAttempt(undefined, () => { this.#tell(name, result) })
    } catch (error) {
      this.#report(error, name, result)
    }
  }

  /** Resolves when every hook under way has returned, and after so many milliseconds at most: then they are left to themselves. */
  async idle (milliseconds = CLOSE_HOOKS_MS): Promise<void> {
    const deadline = performance.now() + milliseconds
    while (this.#running.size > 0) {
      const left = deadline - performance.now()
      if (left <= 0) return this.#log.warn({ hooks: this.#running.size }, `hooks have not returned within ${milliseconds} ms, and are not waited for any longer`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#idle.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  #tell (name: HookName, result: TaskResult): void {
    for (const hook of this.#hooks[name]) this.#run(name, hook, result)
    if (CHANNELS[name].hasSubscribers) CHANNELS[name].publish({ result })
  }

  #run (name: HookName, hook: TaskHook, result: TaskResult): void {
    let returned: unknown
    try {
      returned = hook(result)
    } catch (error) {
      this.#report(error, name, result)
      return
    }
    if (typeof returned !== 'object' || returned === null) return
    const timer = setTimeout(() => {
      this.#log.warn({ ...logFields(result), hook: name }, `a hook has not returned after ${this.#hookTimeout} ms`)
      this.#over(timer)
    }, this.#hookTimeout).unref()
    this.#running.add(timer)
    Promise.resolve(returned).then(() => { this.#over(timer) }, (error: unknown) => {
      this.#report(error, name, result)
      this.#over(timer)
    })
  }

  #over (timer: NodeJS.Timeout): void {
    clearTimeout(timer)
    this.#running.delete(timer)
    if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve()
  }

  #levelOf (name: HookName, status: TaskResult['status']): string {
    switch (name) {
      case 'onEnqueued':
      case 'onStarted': return 'debug'
      case 'onRetried': return 'warn'
      default: return status === 'SUCCESSFUL' ? this.#level : status === 'FAILED' ? 'error' : 'info'
    }
  }

  /** Each line is one literal: an object that is put together field by field takes the logger twice as long. */
  #write (level: string, name: HookName, result: TaskResult, { attempt = result.attempts, durationMs, delay, error }: EventDetails): void {
    const { id: taskId, taskName: task, queueName: queue } = result
    const failure = name === 'onRetried' || result.status === 'FAILED' ? error ?? result.errors.at(-1) : undefined
    const fields = failure !== undefined
      ? { taskId, task, queue, attempt, durationMs, delayMs: delay, exceptionClass: failure.exceptionClass, code: failure.code }
      : durationMs !== undefined ? { taskId, task, queue, attempt, durationMs } : { taskId, task, queue, attempt }
    write(this.#log, level, fields, textOf(name, result.status))
  }

  #report (error: unknown, name: HookName, result: TaskResult): void {
    try {
      this.#log.error({ ...logFields(result), hook: name, ...briefFailure(error) }, 'a hook failed')
    } catch {
      // A logger that throws can be told of nothing.
    }
  }
}

function textOf (name: HookName, status: TaskResult['status']): string {
  switch (name) {
    case 'onEnqueued': return 'task enqueued'
    case 'onStarted': return 'task started'
    case 'onRetried': return 'task failed and will be retried'
    default: return `task ${status.toLowerCase()}`
  }
}

type AnyLog = FastifyBaseLogger & Partial<Record<string, unknown>> & { isLevelEnabled?: (level: string) => boolean }

/** An app without a logger has one that says nothing and knows no levels: only pino can be asked. */
function isEnabled (log: FastifyBaseLogger, level: string): boolean {
  if (level === 'silent') return false
  const { isLevelEnabled } = log as AnyLog
  return isLevelEnabled === undefined ? log.info.name !== 'noop' : isLevelEnabled.call(log, level)
}

function isLevel (log: FastifyBaseLogger, level: string): boolean {
  return typeof level === 'string' && level !== 'child' && typeof (log as AnyLog)[level] === 'function'
}

function write (log: FastifyBaseLogger, level: string, fields: object, text: string): void {
  ((log as AnyLog)[level] as (fields: object, text: string) => void).call(log, fields, text)
}
