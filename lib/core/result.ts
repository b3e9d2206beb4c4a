import type { AnyTask, Duration } from './task.js'
import { isFinishedStatus, type TaskResultStatus } from './status.js'
import { RESULT_FAILED, RESULT_NOT_READY, UNSUPPORTED } from './errors.js'

/** One attempt that failed or died. Strings are cut to 4 KiB (message) and 16 KiB (traceback). */
export interface TaskError {
  readonly exceptionClass: string
  readonly message: string
  readonly code: string | null
  readonly traceback: string
  /** 1 is the first. */
  readonly attempt: number
  readonly at: Date
}

/**
 * The stored record of one enqueue, as it was when it was read (DEP 14, "TaskResult"). It changes only by `refresh()`
 * and `wait()`.
 */
export interface TaskResult<Return = any, Args extends readonly unknown[] = any[]> {
  /** At most 64 characters; UUIDv7 from the built-in backends. */
  readonly id: string
  readonly taskName: string
  /** The task, or null where this app knows none of that name. */
  readonly task: AnyTask | null
  readonly status: TaskResultStatus
  /** @throws FST_TASKS_RESULT_UNREADABLE where a list holds one that the backend cannot decode; so do `progress` and `returnValue` */
  readonly args: Readonly<Args>
  /** Alias of the backend. */
  readonly backend: string
  readonly queueName: string
  readonly priority: number
  readonly runAfter: Date | null
  /** Null until it is stored. */
  readonly enqueuedAt: Date | null
  readonly startedAt: Date | null
  readonly lastAttemptedAt: Date | null
  readonly finishedAt: Date | null
  /** Attempts charged: one that was handed back is not. */
  readonly attempts: number
  readonly workerIds: readonly string[]
  /** Oldest first; the newest 50 are kept. */
  readonly errors: readonly TaskError[]
  readonly progress: unknown
  readonly isFinished: boolean
  /** True where the enqueue met a result under its unique key and this is that one. */
  readonly isDuplicate: boolean
  /** @throws FST_TASKS_RESULT_NOT_READY before the end, FST_TASKS_RESULT_FAILED after a failure or a cancellation */
  readonly returnValue: Return
  /** Read it again, into this object. @throws FST_TASKS_RESULT_NOT_FOUND, FST_TASKS_UNSUPPORTED */
  refresh (): Promise<void>
  /**
   * Resolves with this object once it has ended.
   * @throws FST_TASKS_WAIT_TIMEOUT after `timeout` (30 s), the signal's reason when it aborts
   */
  wait (options?: { timeout?: Duration | undefined, signal?: AbortSignal | undefined }): Promise<TaskResult<Return, Args>>
  /** True where it took effect: a READY one has ended CANCELLED, a RUNNING one is being told. */
  cancel (): Promise<boolean>
  /** Put a FAILED or CANCELLED one back. True where it took effect. */
  retry (): Promise<boolean>
  toJSON (): Record<string, unknown>
}

/** What a result holds. Made by a backend, never changed afterwards; a refresh replaces the whole. */
export interface ResultFields {
  readonly id: string
  readonly taskName: string
  readonly status: TaskResultStatus
  readonly args: readonly unknown[]
  readonly backend: string
  readonly queueName: string
  readonly priority: number
  readonly runAfter: Date | null
  readonly enqueuedAt: Date | null
  readonly startedAt: Date | null
  readonly lastAttemptedAt: Date | null
  readonly finishedAt: Date | null
  readonly attempts: number
  readonly workerIds: readonly string[]
  readonly errors: readonly TaskError[]
  readonly progress: unknown
  /** Meaningful when the status is SUCCESSFUL. */
  readonly returnValue: unknown
  readonly isDuplicate: boolean
  /** What is thrown in the place of values that the backend cannot decode. */
  readonly unreadable?: Readonly<Partial<Record<'args' | 'progress' | 'returnValue', Error>>>
}

/** Where a result is read again; a backend without one of these verbs leaves it out. */
export interface ResultSource {
  readonly alias: string
  /** The task of that name in this app. */
  task (name: string): AnyTask | null
  read? (id: string): Promise<ResultFields>
  /** Resolves with the fields of a finished result. */
  wait? (id: string, options: { timeout?: Duration | undefined, signal?: AbortSignal | undefined }): Promise<ResultFields>
  cancel? (id: string): Promise<boolean>
  retry? (id: string): Promise<boolean>
}

/** Of a result that nothing has happened to yet. */
export function newResultFields ({ id, taskName, args, backend, queueName, priority }: Pick<ResultFields, 'id' | 'taskName' | 'args' | 'backend' | 'queueName' | 'priority'>, fields: Partial<ResultFields>): ResultFields {
  return Object.freeze({
    id,
    taskName,
    status: 'READY',
    args,
    backend,
    queueName,
    priority,
    runAfter: null,
    enqueuedAt: null,
    startedAt: null,
    lastAttemptedAt: null,
    finishedAt: null,
    attempts: 0,
    workerIds: [],
    errors: [],
    progress: null,
    returnValue: null,
    isDuplicate: false,
    ...fields
  })
}

const kReplace = Symbol('replace')

/**
 * Make a result; its fields may be made when somebody looks at them, which for most of a large enqueue nobody does.
 * `replaceFields` is for the backend that holds it back (request.tasks) and for the Dummy backend.
 */
export function createTaskResult (fields: ResultFields | (() => ResultFields), source: ResultSource): TaskResult {
  return new Snapshot(fields, source)
}

/** Follow to another record: what `request.tasks` does when its enqueue is stored. */
export function replaceFields (result: TaskResult, fields: ResultFields): void {
  (result as Snapshot)[kReplace](fields)
}

class Snapshot implements TaskResult {
  #known: ResultFields | (() => ResultFields)
  readonly #source: ResultSource

  constructor (fields: ResultFields | (() => ResultFields), source: ResultSource) {
    this.#known = fields
    this.#source = source
  }

  get id (): string { return this.#fields.id }
  get taskName (): string { return this.#fields.taskName }
  get task (): AnyTask | null { return this.#source.task(this.#fields.taskName) }
  get status (): TaskResultStatus { return this.#fields.status }
  get args (): any { return this.#read('args') }
  get backend (): string { return this.#fields.backend }
  get queueName (): string { return this.#fields.queueName }
  get priority (): number { return this.#fields.priority }
  get runAfter (): Date | null { return this.#fields.runAfter }
  get enqueuedAt (): Date | null { return this.#fields.enqueuedAt }
  get startedAt (): Date | null { return this.#fields.startedAt }
  get lastAttemptedAt (): Date | null { return this.#fields.lastAttemptedAt }
  get finishedAt (): Date | null { return this.#fields.finishedAt }
  get attempts (): number { return this.#fields.attempts }
  get workerIds (): readonly string[] { return Object.freeze(this.#fields.workerIds) }
  get errors (): readonly TaskError[] { return Object.freeze(this.#fields.errors) }
  get progress (): unknown { return this.#read('progress') }
  get isFinished (): boolean { return isFinishedStatus(this.#fields.status) }
  get isDuplicate (): boolean { return this.#fields.isDuplicate }

  get returnValue (): any {
    const { id, status } = this.#fields
    if (status === 'SUCCESSFUL') return this.#read('returnValue')
    if (isFinishedStatus(status)) throw new RESULT_FAILED(id, status)
    throw new RESULT_NOT_READY(id, status)
  }

  async refresh (): Promise<void> {
    this.#known = this.#keep(await this.#verb('read', 'reading results')(this.id))
  }

  async wait (options: { timeout?: Duration | undefined, signal?: AbortSignal | undefined } = {}): Promise<TaskResult> {
    // A FAILED or CANCELLED one may have been put back since it was read.
    if (this.status === 'SUCCESSFUL' || (this.isFinished && this.#source.wait === undefined)) return this
    const wait = this.#verb('wait', 'waiting for results')
    this.#known = this.#keep(await wait(this.id, options))
    return this
  }

  async cancel (): Promise<boolean> {
    return await this.#verb('cancel', 'cancelling')(this.id)
  }

  async retry (): Promise<boolean> {
    return await this.#verb('retry', 'retrying results')(this.id)
  }

  toJSON (): Record<string, unknown> {
    const { returnValue, unreadable = {}, ...fields } = this.#fields
    const names = Object.keys(unreadable)
    const record: Record<string, unknown> = { ...fields, isFinished: this.isFinished, ...(this.status === 'SUCCESSFUL' && { returnValue }) }
    for (const name of names) delete record[name]
    return names.length === 0 ? record : { ...record, unreadable: names }
  }

  get #fields (): ResultFields {
    if (typeof this.#known === 'function') this.#known = this.#known()
    return this.#known
  }

  #read (field: 'args' | 'progress' | 'returnValue'): unknown {
    const error = this.#fields.unreadable?.[field]
    if (error !== undefined) throw error
    return this.#fields[field]
  }

  [kReplace] (fields: ResultFields): void {
    this.#known = fields
  }

  /** isDuplicate says what the enqueue met; a later read of the row does not know. */
  #keep (fields: ResultFields): ResultFields {
    return this.isDuplicate === fields.isDuplicate ? fields : { ...fields, isDuplicate: true }
  }

  #verb<Verb extends 'read' | 'wait' | 'cancel' | 'retry'> (verb: Verb, what: string): NonNullable<ResultSource[Verb]> {
    const call = this.#source[verb]
    if (call === undefined) throw new UNSUPPORTED(this.#source.alias, what)
    return call.bind(this.#source) as NonNullable<ResultSource[Verb]>
  }
}
