import type { BaseTaskBackend } from '../lib/backends/base.js'
import type { BackendControl, BackendHealth, BackendStats, ResultPage } from '../lib/backends/control.js'
import { RESULT_NOT_FOUND, UNSUPPORTED } from '../lib/core/errors.js'
import type { TaskResult } from '../lib/core/result.js'
import type { AnyTask, ResultOf, TaskArgs } from '../lib/core/task.js'
import type { HookName, TaskHook } from '../lib/run/events.js'
import type { TaskCore } from './task-core.js'
import { checkAlias, checkList, checkSelection, queueNameOf, type TaskFilter, type TaskListFilter } from './filters.js'
import type { RequestCollections } from './request-collections.js'

/** The last argument of the verbs that work on one backend. */
export interface OnBackend {
  /** Its alias. Default: `default`. */
  backend?: string | undefined
}

/** `app.tasks`: the background tasks of one app. */
export class AppTasks {
  readonly #core: TaskCore
  readonly #collections: RequestCollections

  /** @internal */
  constructor (core: TaskCore, collections: RequestCollections) {
    this.#core = core
    this.#collections = collections
  }

  /**
   * Ask for a run of a task.
   *
   * @param task - a task of this app, a `using()` copy of one, or its name
   * @returns once the result is stored
   * @throws FST_TASKS_UNKNOWN_TASK, FST_TASKS_NOT_REGISTERED, FST_TASKS_INVALID_ARGUMENT, FST_TASKS_INVALID_TASK,
   * FST_TASKS_QUEUE_FULL, FST_TASKS_NOT_UNIQUE, FST_TASKS_TRANSACTION_OPEN, FST_TASKS_STORE_UNAVAILABLE, FST_TASKS_CLOSED
   * @example
   * ```ts
   * import type { FastifyInstance } from 'fastify'
   * import { task } from 'fastify-tasks'
   *
   * const add = task('math.add', async (a: number, b: number) => a + b)
   *
   * export async function enqueueOne (app: FastifyInstance): Promise<string> {
   *   const result = await app.tasks.enqueue(add, 1, 2)
   *   return result.id
   * }
   * ```
   */
  async enqueue<T extends AnyTask> (task: T, ...args: TaskArgs<T>): Promise<ResultOf<T>>
  async enqueue (task: string, ...args: unknown[]): Promise<TaskResult>
  async enqueue (task: AnyTask | string, ...args: unknown[]): Promise<TaskResult> {
    const [result] = await this.#core.enqueueTask(this.#core.resolve(task), [args])
    return result as TaskResult
  }

  /** Enqueue once for each list of arguments, in one round trip: all are stored, or none. Results in the same order. */
  async enqueueMany<T extends AnyTask> (task: T, argsList: ReadonlyArray<Readonly<TaskArgs<T>>>): Promise<Array<ResultOf<T>>>
  async enqueueMany (task: string, argsList: ReadonlyArray<readonly unknown[]>): Promise<TaskResult[]>
  async enqueueMany (task: AnyTask | string, argsList: ReadonlyArray<readonly unknown[]>): Promise<TaskResult[]> {
    return await this.#core.enqueueTask(this.#core.resolve(task), argsList)
  }

  /**
   * Register a task with this app.
   * @throws FST_TASKS_DUPLICATE_TASK, FST_TASKS_INVALID_TASK, FST_TASKS_INVALID_BACKEND
   */
  add (task: AnyTask): void {
    this.#core.registry.add(task)
  }

  /** The task registered under exactly this name, or null. */
  task (name: string): AnyTask | null {
    return this.#core.registry.get(name)
  }

  /** The backend of an alias. @throws FST_TASKS_INVALID_BACKEND */
  backend (alias: string = 'default'): BaseTaskBackend<any> {
    return this.#core.backend(alias)
  }

  /**
   * Hear of results: `onEnqueued`, `onStarted`, `onRetried`, `onFinished` (all three endings). Nothing waits for a hook,
   * and one that throws is logged.
   * @throws FST_TASKS_INVALID_OPTION
   */
  addHook (name: HookName, hook: TaskHook): this {
    this.#core.events.addHook(name, hook)
    return this
  }

  /** Resolves when what `request.tasks` collected is stored, of every request that has replied or whose client is gone. */
  async flushed (): Promise<void> {
    await this.#collections.flushed()
  }

  /**
   * Read any task's result.
   * @throws FST_TASKS_RESULT_NOT_FOUND, FST_TASKS_UNSUPPORTED
   */
  async getResult (id: string, options?: OnBackend): Promise<TaskResult> {
    return await this.#core.backend(checkAlias(options)).getResult(id)
  }

  /**
   * Cancel one result, or all that fit a filter: READY ones end CANCELLED, RUNNING ones are told.
   * @returns how many it took effect on; 0 for an unknown id
   * @throws FST_TASKS_INVALID_FILTER, FST_TASKS_UNSUPPORTED
   */
  async cancel (target: string | TaskFilter, options?: OnBackend): Promise<number> {
    return await this.#change('cancel', 'cancelling', target, options)
  }

  /**
   * Put FAILED and CANCELLED results back: one, or all that fit a filter.
   * @returns how many it took effect on; 0 for an unknown id
   * @throws FST_TASKS_INVALID_FILTER, FST_TASKS_UNSUPPORTED
   */
  async retry (target: string | TaskFilter, options?: OnBackend): Promise<number> {
    return await this.#change('retry', 'retrying results', target, options)
  }

  /** Workers take nothing more from this queue until `resume`; enqueueing goes on. */
  async pause (queue: string, options?: OnBackend): Promise<void> {
    await this.#control(options, 'pause', 'pausing queues')(queueNameOf(queue))
  }

  async resume (queue: string, options?: OnBackend): Promise<void> {
    await this.#control(options, 'resume', 'pausing queues')(queueNameOf(queue))
  }

  /**
   * Results, newest first, a page at a time.
   * @throws FST_TASKS_INVALID_FILTER, FST_TASKS_UNSUPPORTED
   */
  async list (filter?: TaskListFilter, options?: OnBackend): Promise<ResultPage> {
    return await this.#control(options, 'list', 'listing results')(checkList(filter))
  }

  /** Counts by queue, live workers, and names that none of them knows. @throws FST_TASKS_UNSUPPORTED */
  async stats (options?: OnBackend): Promise<BackendStats> {
    return await this.#control(options, 'stats', 'statistics')()
  }

  /** Whether the backend can do its work; never throws for what is wrong with it. */
  async health (options?: OnBackend): Promise<BackendHealth> {
    const backend = this.#core.backend(checkAlias(options))
    const { health } = backend as Partial<BackendControl>
    if (health !== undefined) return await health.call(backend)
    const reasons = await backend.check()
    return { ok: reasons.length === 0, reasons }
  }

  async #change (verb: 'cancel' | 'retry', what: string, target: unknown, options: OnBackend | undefined): Promise<number> {
    const selection = checkSelection(target)
    const backend = this.#core.backend(checkAlias(options))
    const change = (backend as Partial<BackendControl>)[verb]
    if (change !== undefined) return await change.call(backend, selection)
    if (!('id' in selection)) throw new UNSUPPORTED(backend.alias, `${what} by a filter`)
    try {
      const result = await backend.getResult(selection.id)
      return await result[verb]() ? 1 : 0
    } catch (error) {
      if (error instanceof RESULT_NOT_FOUND) return 0
      throw error
    }
  }

  #control<Verb extends keyof BackendControl> (options: OnBackend | undefined, verb: Verb, what: string): BackendControl[Verb] {
    const backend = this.#core.backend(checkAlias(options))
    const call = (backend as Partial<BackendControl>)[verb]
    if (call === undefined) throw new UNSUPPORTED(backend.alias, what)
    return call.bind(backend) as BackendControl[Verb]
  }
}
