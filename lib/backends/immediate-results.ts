import type { EnqueueRequest } from './base.js'
import type { RunningAttempt } from '../run/attempt.js'
import type { StoredError } from '../store/store.js'
import type { ResultFields, TaskError } from '../core/result.js'
import { RESULT_NOT_FOUND } from '../core/errors.js'
import { decode } from '../core/json.js'
import { IMMEDIATE_RESULTS_MAX } from '../core/limits.js'

/** One result of the Immediate backend, while it changes. Values are kept as text, so that no reader changes another's. */
export class ImmediateRecord {
  readonly request: EnqueueRequest
  fields: ResultFields
  errors: readonly StoredError[] = []
  progress: string | null = null
  returnValue: string | null = null
  /** Attempts before it was last put back. */
  priorAttempts = 0
  /** Its attempt under way. */
  running: RunningAttempt | undefined
  /** Resolves when its attempts have come to an end. */
  done: Promise<void> = Promise.resolve()

  constructor (request: EnqueueRequest, fields: ResultFields) {
    this.request = request
    this.fields = fields
  }

  update (changed: Partial<ResultFields>): void {
    this.fields = { ...this.fields, ...changed }
  }
}

/** All that have not ended, and the newest of those that have. */
export class ImmediateResults {
  readonly #open = new Map<string, ImmediateRecord>()
  readonly #finished = new Map<string, ImmediateRecord>()

  add (request: EnqueueRequest, fields: ResultFields): ImmediateRecord {
    const record = new ImmediateRecord(request, fields)
    this.#open.set(request.id, record)
    return record
  }

  /** @throws FST_TASKS_RESULT_NOT_FOUND */
  get (id: string): ImmediateRecord {
    const record = this.#open.get(id) ?? this.#finished.get(id)
    if (record === undefined) throw new RESULT_NOT_FOUND(String(id).slice(0, 64))
    return record
  }

  /** In the order of the enqueues: ids are in order of time. */
  * [Symbol.iterator] (): Generator<ImmediateRecord> {
    yield * [...this.#open.values(), ...this.#finished.values()].sort((a, b) => a.request.id < b.request.id ? -1 : 1)
  }

  open (): Iterable<ImmediateRecord> {
    return this.#open.values()
  }

  finish (record: ImmediateRecord): void {
    const { id } = record.request
    this.#open.delete(id)
    this.#finished.set(id, record)
    const [oldest] = this.#finished.keys()
    if (this.#finished.size > IMMEDIATE_RESULTS_MAX) this.#finished.delete(oldest as string)
  }

  reopen (record: ImmediateRecord): void {
    this.#finished.delete(record.request.id)
    this.#open.set(record.request.id, record)
  }

  /** Rolled back: it has never been. */
  forget (record: ImmediateRecord): void {
    this.#open.delete(record.request.id)
    this.#finished.delete(record.request.id)
  }

  /** What a reader gets: a state of its own. */
  fieldsOf ({ fields, errors, progress, returnValue }: ImmediateRecord): ResultFields {
    return {
      ...fields,
      enqueuedAt: copyOf(fields.enqueuedAt),
      startedAt: copyOf(fields.startedAt),
      lastAttemptedAt: copyOf(fields.lastAttemptedAt),
      finishedAt: copyOf(fields.finishedAt),
      errors: errors.map(taskErrorOf),
      progress: progress === null ? null : decode(progress),
      returnValue: returnValue === null ? null : decode(returnValue)
    }
  }
}

function copyOf (date: Date | null): Date | null {
  return date === null ? null : new Date(date)
}

function taskErrorOf (error: StoredError): TaskError {
  return Object.freeze({ ...error, at: new Date(error.at) })
}
