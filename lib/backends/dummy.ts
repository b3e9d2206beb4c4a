import { BaseTaskBackend, type BackendConfig, type EnqueueRequest } from './base.js'
import type { BackendControl, ListRequest, ListTimes, ResultFilter, ResultPage, ResultSelection } from './control.js'
import { checkRunOptions, type RunOptions } from './run-options.js'
import { RESULT_NOT_FOUND } from '../core/errors.js'
import type { ResultFields, ResultSource, TaskResult } from '../core/result.js'
import { createTaskResult, replaceFields } from '../core/result.js'
import { optionsOf } from '../core/task.js'
import { waitByReading } from '../core/wait.js'

const POLL_MAX_MS = 50

interface Stored { readonly result: TaskResult, readonly tags: readonly string[], fields: ResultFields }

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
export class DummyBackend extends BaseTaskBackend<RunOptions> implements Pick<BackendControl, 'cancel' | 'retry' | 'list'> {
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
  readonly #stored = new Map<string, Stored>()

  /** @throws FST_TASKS_INVALID_CONFIG */
  constructor (config: BackendConfig<RunOptions>) {
    super(config)
    checkRunOptions(config.alias, config.options)
  }

  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    return requests.map((request) => {
      const fields = this.createFields(request, { enqueuedAt: new Date(this.now()) })
      const result = createTaskResult(copyOf(fields), this.source())
      this.#stored.set(request.id, { result, fields, tags: optionsOf(request.task).tags })
      this.results.push(result)
      return createTaskResult(copyOf(fields), this.source())
    })
  }

  override async getResult (id: string): Promise<TaskResult> {
    return createTaskResult(this.#read(id), this.source())
  }

  async cancel (selection: ResultSelection): Promise<number> {
    return this.#select(selection).filter((id) => this.#move(id, ...this.#cancelled())).length
  }

  async retry (selection: ResultSelection): Promise<number> {
    return this.#select(selection).filter((id) => this.#move(id, ...RETRY())).length
  }

  async list ({ limit, after, ...filter }: ListRequest): Promise<ResultPage> {
    const older = after === undefined ? [...this.#stored.keys()] : this.#before(after)
    const found = older.filter((id) => fits(this.#stored.get(id) as Stored, filter)).reverse()
    const ids = found.slice(0, limit)
    return { results: ids.map((id) => createTaskResult(this.#read(id), this.source())), next: found.length > limit ? ids.at(-1) as string : null }
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
      cancel: async (id) => this.#move(id, ...this.#cancelled()),
      retry: async (id) => this.#move(id, ...RETRY())
    }
  }

  /** Ids, oldest first. */
  #select (selection: ResultSelection): string[] {
    if ('id' in selection) return this.#stored.has(selection.id) ? [selection.id] : []
    return [...this.#stored].filter(([, stored]) => fits(stored, selection)).map(([id]) => id)
  }

  #before (id: string): string[] {
    const ids = [...this.#stored.keys()]
    return ids.slice(0, Math.max(0, ids.indexOf(id)))
  }

  #cancelled (): Move {
    return ['READY', { status: 'CANCELLED', finishedAt: new Date(this.now()) }]
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

type Move = [from: ResultFields['status'], changed: Partial<ResultFields>]

const RETRY = (): Move => ['CANCELLED', { status: 'READY', finishedAt: null }]

function fits ({ fields, tags }: Stored, { status, queue, task, tag, enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore }: ResultFilter & ListTimes): boolean {
  return (status === undefined || status === fields.status) && (queue === undefined || queue === fields.queueName) &&
    (task === undefined || task === fields.taskName) && (tag === undefined || tags.includes(tag)) &&
    lies(fields.enqueuedAt, enqueuedAfter, enqueuedBefore) && lies(fields.finishedAt, finishedAfter, finishedBefore)
}

function lies (moment: Date | null, after: Date | undefined, before: Date | undefined): boolean {
  if (after === undefined && before === undefined) return true
  return moment !== null && (after === undefined || moment >= after) && (before === undefined || moment < before)
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
