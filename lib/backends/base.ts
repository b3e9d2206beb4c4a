import type { FastifyInstance } from 'fastify'
import type { Clock } from '../core/clock.js'
import type { AnyTask } from '../core/task.js'
import type { TaskResult, ResultFields, ResultSource } from '../core/result.js'
import { createTaskResult, newResultFields } from '../core/result.js'
import { holdTaskResult, type HeldResult } from '../core/held-result.js'
import { isTask, optionsOf } from '../core/task.js'
import { waitByReading, type WaitOptions } from '../core/wait.js'
import { INVALID_TASK, UNSUPPORTED } from '../core/errors.js'

/** What a backend's constructor is given. */
export interface BackendConfig<Options = Record<string, unknown>> {
  readonly alias: string
  /** Names that may be enqueued to; empty or absent for any. */
  readonly queues?: readonly string[] | Readonly<Record<string, QueueLimits>> | undefined
  readonly options?: Options | undefined
  readonly app: FastifyInstance
}

export interface QueueLimits {
  readonly concurrencyLimit?: number | undefined
  readonly rateLimit?: { readonly max: number, readonly every: number | string } | undefined
  /** READY rows above which an enqueue is refused with FST_TASKS_QUEUE_FULL. */
  readonly maxReady?: number | undefined
}

/** One enqueue, frozen and already checked. `argsText` is the JSON of `args`. */
export interface EnqueueRequest {
  readonly id: string
  readonly task: AnyTask
  readonly args: readonly unknown[]
  readonly argsText: string
}

/**
 * The base of every backend, built in or a third party's (DEP 14, "Backends"). A subclass sets the capability flags
 * that hold for it and implements `enqueue`; what a flag says it cannot do is refused before `enqueue` is called.
 *
 * @example
 * ```ts
 * import { BaseTaskBackend, type EnqueueRequest, type TaskResult } from 'fastify-tasks'
 *
 * class LogBackend extends BaseTaskBackend {
 *   override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
 *     return requests.map((request) => {
 *       this.app.log.info({ task: request.task.name }, 'enqueued')
 *       return this.createResult(request, { enqueuedAt: new Date() })
 *     })
 *   }
 * }
 * ```
 */
export abstract class BaseTaskBackend<Options = Record<string, unknown>> {
  readonly alias: string
  readonly queues: readonly string[] | Readonly<Record<string, QueueLimits>>
  readonly options: Options
  readonly app: FastifyInstance
  #clock: Clock | null = null

  declare readonly supportsDefer: boolean
  declare readonly supportsGetResult: boolean
  declare readonly supportsPriority: boolean
  declare readonly supportsRetry: boolean
  declare readonly supportsTimeout: boolean
  declare readonly supportsUnique: boolean
  declare readonly supportsConcurrency: boolean
  declare readonly supportsRateLimit: boolean
  declare readonly supportsTags: boolean
  declare readonly supportsCallbacks: boolean
  declare readonly supportsIsolation: boolean
  declare readonly supportsTransaction: boolean

  /** True where `enqueue` publishes `onEnqueued` itself: at its moment, and not for a duplicate. Otherwise the plugin does. */
  declare readonly announcesEnqueues: boolean

  constructor (config: BackendConfig<Options>) {
    this.alias = config.alias
    this.queues = Object.freeze(config.queues ?? [])
    this.options = Object.freeze({ ...config.options }) as Options
    this.app = config.app
  }

  /** Accept requests; results in their order. They belong together: all are stored, or none. */
  abstract enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]>

  /** @throws FST_TASKS_RESULT_NOT_FOUND */
  async getResult (id: string): Promise<TaskResult> {
    void id
    throw new UNSUPPORTED(this.alias, 'reading results')
  }

  /** Problems that an operator should mend, as sentences; asked at boot, after `open`. */
  async check (): Promise<string[]> { return [] }

  /** Connect. Called once, before the app is ready. */
  async open (): Promise<void> {}

  /** Give up everything `open` took. Called once, when the app closes. */
  async close (): Promise<void> {}

  /** Refuse what this backend cannot do. @throws FST_TASKS_INVALID_TASK */
  validateTask (task: AnyTask): void {
    if (!isTask(task)) throw new INVALID_TASK(typeof task, 'it was not made by task().')
    const options = optionsOf(task)
    const refuse = (reason: string): never => { throw new INVALID_TASK(task.name, `backend '${this.alias}' ${reason}.`) }
    if (!this.supportsPriority && options.priority !== 0) refuse('does not support `priority`')
    if (!this.supportsDefer && options.runAfter !== null) refuse('does not support `runAfter`')
    if (!this.supportsRetry && options.retry !== undefined && options.retry.limit > 0) refuse('does not support `retry`')
    if (!this.supportsTimeout && typeof options.timeout === 'number') refuse('does not support `timeout`')
    if (!this.supportsUnique && options.uniqueKey !== null) refuse('does not support `uniqueKey`')
    if (!this.supportsConcurrency && options.concurrencyKey !== null) refuse('does not support `concurrencyKey`')
    if (!this.supportsRateLimit && options.rateLimit !== null) refuse('does not support `rateLimit`')
    if (!this.supportsTags && options.tags.length > 0) refuse('does not support `tags`')
    if (!this.supportsCallbacks && (options.onSuccess !== null || options.onFailure !== null)) refuse('does not support `onSuccess` and `onFailure`')
    if (!this.supportsIsolation && options.isolation !== null) refuse('does not support `isolation`')
    if (!this.supportsTransaction && options.transaction !== null) refuse('does not support `transaction`')
    const names = this.queueNames()
    if (names.length > 0 && !names.includes(options.queueName)) refuse(`has no queue '${options.queueName}'; it has ${names.join(', ')}`)
    const limits = Array.isArray(this.queues) ? undefined : (this.queues as Readonly<Record<string, QueueLimits>>)[options.queueName]
    if (!this.supportsConcurrency && limits?.concurrencyLimit !== undefined) refuse(`does not support the \`concurrencyLimit\` of queue '${options.queueName}'`)
    if (!this.supportsRateLimit && limits?.rateLimit !== undefined) refuse(`does not support the \`rateLimit\` of queue '${options.queueName}'`)
  }

  /** The names that may be enqueued to; empty for any. */
  queueNames (): string[] {
    return Array.isArray(this.queues) ? [...this.queues] : Object.keys(this.queues)
  }

  /** Go by a test's clock from now on; only `createClock` of the testing kit asks for it. @internal */
  useClock (clock: Clock): void {
    this.#clock = clock
  }

  /** Epoch milliseconds by this host's clock, or by the test's where there is one. @internal */
  now (): number {
    return Date.now() + (this.#clock?.offset ?? 0)
  }

  /** Make the result of a request; `fields` say what is known beyond it. */
  createResult (request: EnqueueRequest, fields: Partial<ResultFields> = {}): TaskResult {
    return createTaskResult(this.createFields(request, fields), this.source())
  }

  /**
   * For request.tasks: a result that is not stored yet. `withdraw` is asked by its `cancel()`, true where it was in time.
   * @internal
   */
  static hold (backend: BaseTaskBackend<any>, request: EnqueueRequest, withdraw: () => boolean): HeldResult {
    return holdTaskResult(backend.createFields(request), backend.source(), withdraw)
  }

  protected createFields (request: EnqueueRequest, fields: Partial<ResultFields> = {}): ResultFields {
    const { id, args, task: { name: taskName, queueName, priority, runAfter } } = request
    const due = typeof runAfter === 'number' ? new Date(this.now() + runAfter) : runAfter
    return newResultFields({ id, taskName, args, backend: this.alias, queueName, priority }, { runAfter: due, ...fields })
  }

  /** Where results of this backend are read again; a subclass adds the verbs that it has. */
  protected source (): ResultSource {
    const read = async (id: string): Promise<ResultFields> => fieldsOf(await this.getResult(id))
    return {
      alias: this.alias,
      task: (name) => taskOf(this.app, name),
      ...(this.supportsGetResult && { read, wait: async (id: string, options: WaitOptions) => await waitByReading(id, read, options) })
    }
  }
}

// Defaults of the prototype and not fields of each instance: those would hide a flag that a subclass gives by a getter.
Object.assign(BaseTaskBackend.prototype, {
  supportsDefer: false,
  supportsGetResult: false,
  supportsPriority: false,
  supportsRetry: false,
  supportsTimeout: false,
  supportsUnique: false,
  supportsConcurrency: false,
  supportsRateLimit: false,
  supportsTags: false,
  supportsCallbacks: false,
  supportsIsolation: false,
  supportsTransaction: false,
  announcesEnqueues: false
})

function taskOf (app: FastifyInstance, name: string): AnyTask | null {
  return app.tasks.task(name)
}

function fieldsOf (result: TaskResult): ResultFields {
  const { returnValue, ...fields } = result.toJSON() as unknown as ResultFields
  return { ...fields, returnValue: returnValue ?? null }
}
