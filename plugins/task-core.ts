import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { BaseTaskBackend, EnqueueRequest } from '../lib/backends/base.js'
import { Backends } from '../lib/backends/backends.js'
import { DatabaseBackend } from '../lib/backends/database.js'
import { TextRequest } from '../lib/backends/text-request.js'
import type { TasksHost } from '../lib/core/host.js'
import { newId } from '../lib/core/ids.js'
import { encodeArguments, type JsonLimits } from '../lib/core/json.js'
import { Registry } from '../lib/core/registry.js'
import type { TaskResult } from '../lib/core/result.js'
import { checkArguments, checkSchema } from '../lib/core/schema.js'
import { isTask, type AnyTask, type TaskApp } from '../lib/core/task.js'
import { CLOSED, INVALID_ARGUMENT, INVALID_BACKEND, INVALID_TASK, NOT_REGISTERED, RESULT_MISMATCH, UNKNOWN_TASK } from '../lib/core/errors.js'
import { ARGUMENT_BYTES_MAX, DEPTH_MAX } from '../lib/core/limits.js'
import { Events } from '../lib/run/events.js'
import type { Settings } from './config.js'

/** What stands behind `app.tasks` and `request.tasks`: one registry, the backends, the events of one app. */
export class TaskCore implements TaskApp, TasksHost {
  readonly app: FastifyInstance
  readonly log: FastifyBaseLogger
  readonly settings: Settings
  readonly registry: Registry
  readonly events: Events
  readonly backends: Backends
  readonly #onClose: Array<() => Promise<void>> = []
  #closed = false

  constructor (app: FastifyInstance, settings: Settings) {
    this.app = app
    this.log = app.log
    this.settings = settings
    this.registry = new Registry(this)
    this.events = new Events({ log: app.log, taskLogLevel: settings.taskLogLevel })
    this.backends = new Backends(app, settings.backends)
  }

  backend (alias: string): BaseTaskBackend<any> {
    return this.backends.get(alias)
  }

  /** The registered task that is meant. @throws FST_TASKS_UNKNOWN_TASK, FST_TASKS_NOT_REGISTERED, FST_TASKS_INVALID_TASK */
  resolve (task: AnyTask | string): AnyTask {
    if (typeof task === 'string') {
      const found = this.registry.get(task)
      if (found === null) throw new UNKNOWN_TASK(task.slice(0, 128))
      return found
    }
    if (!isTask(task)) throw new INVALID_TASK(typeof task, 'it was not made by task().')
    if (!this.registry.has(task)) throw new NOT_REGISTERED(task.name)
    return task
  }

  /** Check one enqueue and give it its id. Nothing is sent. */
  request (task: AnyTask, args: readonly unknown[], backend = this.accepting(task)): EnqueueRequest {
    const { text, value } = encodeArguments(args, limitsOf(backend))
    checkArguments(task, value)
    return Object.freeze({ id: newId(), task, args: value, argsText: text })
  }

  /** The backend of a task, which can carry it. @throws FST_TASKS_CLOSED, FST_TASKS_INVALID_BACKEND, FST_TASKS_INVALID_TASK */
  accepting (task: AnyTask): BaseTaskBackend<any> {
    if (this.#closed) throw new CLOSED('enqueue a task')
    const backend = this.backends.get(task.backend)
    backend.validateTask(task)
    return backend
  }

  /** All of the requests are stored when this resolves, or none. */
  async send (backend: BaseTaskBackend<any>, requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    if (this.#closed) throw new CLOSED('enqueue a task')
    const results = await backend.enqueue(requests)
    if (results?.length !== requests.length) throw new INVALID_BACKEND(`The enqueue() of backend '${backend.alias}' must resolve with one result for each request, in their order.`)
    if (!backend.announcesEnqueues) for (const result of results) this.events.emit('onEnqueued', result)
    return results
  }

  async enqueueTask (task: AnyTask, argsList: ReadonlyArray<readonly unknown[]>): Promise<TaskResult[]> {
    if (!Array.isArray(argsList)) throw new INVALID_ARGUMENT('argsList', 'pass an array with one array of arguments for each enqueue.')
    const known = this.resolve(task)
    const backend = this.accepting(known)
    // Not for a subclass, which may do with its requests what it likes.
    const light = backend.constructor === DatabaseBackend
    const requests = Object.freeze(argsList.map((args) => {
      const request = this.request(known, args, backend)
      return light ? new TextRequest(request) : request
    }))
    return requests.length === 0 ? [] : await this.send(backend, requests)
  }

  async getTaskResult (task: AnyTask, id: string): Promise<TaskResult> {
    const result = await this.backends.get(task.backend).getResult(id)
    if (result.taskName !== task.name) throw new RESULT_MISMATCH(id, result.taskName, task.name)
    return result
  }

  checkTask (task: AnyTask): void {
    checkSchema(task)
    this.backends.get(task.backend).validateTask(task)
  }

  onClose (stop: () => Promise<void>): void {
    this.#onClose.push(stop)
  }

  /** Stop the workers made on this app, then refuse what comes and close the backends. */
  async close (): Promise<void> {
    const stopped = await Promise.allSettled(this.#onClose.splice(0).map(async (stop) => { await stop() }))
    this.#closed = true
    this.registry.release()
    await this.events.idle()
    const failed = await this.backends.close()
    for (const outcome of stopped) if (outcome.status === 'rejected') failed.push(outcome.reason as Error)
    for (const err of failed) this.log.error({ err }, 'fastify-tasks did not close cleanly')
  }
}

const limits = new WeakMap<BaseTaskBackend<any>, JsonLimits>()

function limitsOf (backend: BaseTaskBackend<any>): JsonLimits {
  const known = limits.get(backend)
  if (known !== undefined) return known
  const { maxArgumentBytes, maxDepth } = backend.options as Record<string, unknown>
  const checked = {
    maxBytes: Number.isSafeInteger(maxArgumentBytes) ? maxArgumentBytes as number : ARGUMENT_BYTES_MAX,
    maxDepth: Number.isSafeInteger(maxDepth) ? maxDepth as number : DEPTH_MAX
  }
  limits.set(backend, checked)
  return checked
}
