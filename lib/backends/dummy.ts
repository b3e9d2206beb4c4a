import { BaseTaskBackend, type BackendConfig, type EnqueueRequest } from './base.js'
import { checkRunOptions, type RunOptions } from './run-options.js'
import { RESULT_NOT_FOUND } from '../core/errors.js'
import type { ResultFields, ResultSource, TaskResult } from '../core/result.js'
import { createTaskResult, replaceFields } from '../core/result.js'
import { waitByReading } from '../core/wait.js'

const POLL_MAX_MS = 50

/**
 * Runs nothing and remembers every enqueue: for tests of code that enqueues. It accepts every option of a task and
 * records the enqueue at once, also one with `using({ transaction })`, whatever becomes of the transaction.
 *
 * @example
 * ```ts
 * import type { FastifyInstance } from 'fastify'
 * import { DummyBackend } from 'fastify-tasks'
 *
 * export function enqueuedNames (app: FastifyInstance): string[] {
 *   const backend = app.tasks.backend() as DummyBackend
 *   return backend.results.map((result) => result.taskName)
 * }
 * ```
 */
export class DummyBackend extends BaseTaskBackend<RunOptions> {
  override readonly supportsDefer = true
  override readonly supportsGetResult = true
  override readonly supportsPriority = true
  override readonly supportsRetry = true
  override readonly supportsTimeout = true
  override readonly supportsUnique = true
  override readonly supportsConcurrency = true
  override readonly supportsRateLimit = true
  override readonly supportsTags = true
  override readonly supportsCallbacks = true
  override readonly supportsIsolation = true
  override readonly supportsTransaction = true

  /** What was enqueued, in order. A result that `enqueue` returned is another object, which does not change with it. */
  readonly results: TaskResult[] = []
  readonly #stored = new Map<string, { result: TaskResult, fields: ResultFields }>()

  /** @throws FST_TASKS_INVALID_CONFIG */
  constructor (config: BackendConfig<RunOptions>) {
    super(config)
    checkRunOptions(config.alias, config.options)
  }

  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    return requests.map((request) => {
      const fields = this.createFields(request, { enqueuedAt: new Date() })
      const result = createTaskResult(copyOf(fields), this.source())
      this.#stored.set(request.id, { result, fields })
      this.results.push(result)
      return createTaskResult(copyOf(fields), this.source())
    })
  }

  override async getResult (id: string): Promise<TaskResult> {
    return createTaskResult(this.#read(id), this.source())
  }

  /** Forget all that was enqueued. */
  clear (): void {
    this.#stored.clear()
    this.results.length = 0
  }

  protected override source (): ResultSource {
    const read = async (id: string): Promise<ResultFields> => this.#read(id)
    return {
      ...super.source(),
      read,
      wait: async (id, options) => await waitByReading(id, read, options, POLL_MAX_MS),
      cancel: async (id) => this.#move(id, 'READY', { status: 'CANCELLED', finishedAt: new Date() }),
      retry: async (id) => this.#move(id, 'CANCELLED', { status: 'READY', finishedAt: null })
    }
  }

  #read (id: string): ResultFields {
    const stored = this.#stored.get(id)
    if (stored === undefined) throw new RESULT_NOT_FOUND(String(id).slice(0, 64))
    return copyOf(stored.fields)
  }

  #move (id: string, from: ResultFields['status'], changed: Partial<ResultFields>): boolean {
    const stored = this.#stored.get(id)
    if (stored === undefined) throw new RESULT_NOT_FOUND(String(id).slice(0, 64))
    if (stored.fields.status !== from) return false
    stored.fields = { ...stored.fields, ...changed }
    replaceFields(stored.result, copyOf(stored.fields))
    return true
  }
}

/** Moments are objects, and could be changed. */
function copyOf (fields: ResultFields): ResultFields {
  const { runAfter, enqueuedAt, finishedAt } = fields
  return Object.freeze({
    ...fields,
    runAfter: runAfter && new Date(runAfter),
    enqueuedAt: enqueuedAt && new Date(enqueuedAt),
    finishedAt: finishedAt && new Date(finishedAt)
  })
}
