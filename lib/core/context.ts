import type { FastifyInstance, FastifyBaseLogger } from 'fastify'
import type { Knex } from 'knex'
import type { TaskResult } from './result.js'

/** What a task with `takesContext: true` gets as its first argument (DEP 14, "TaskContext"). Frozen. */
export interface TaskContext {
  /** The app that runs the task: its decorators, config and plugins. */
  readonly app: FastifyInstance
  /** The result as it was when this attempt began; `taskResult.id` is a good idempotency key. */
  readonly taskResult: TaskResult
  /** 1 on the first attempt. */
  readonly attempt: number
  /** A child logger that carries the id, name, queue and attempt. */
  readonly log: FastifyBaseLogger
  /** Aborted by timeout, cancellation, shutdown or a lost lease; its reason is the typed error. */
  readonly signal: AbortSignal
  /**
   * Store how far the task has come, as JSON; the newest value stands in `result.progress`.
   * @throws FST_TASKS_INVALID_ARGUMENT, FST_TASKS_CLAIM_LOST
   */
  progress (value: unknown): Promise<void>
  /**
   * Do the task's own writes and end it SUCCESSFUL with the function's value, in one transaction of the task database,
   * fenced by the claim's token: either both are there, or neither. It ends the attempt.
   * @throws FST_TASKS_CLAIM_LOST, FST_TASKS_ATTEMPT_ENDED on a second call, FST_TASKS_UNSUPPORTED
   */
  transaction<T> (fn: (trx: Knex.Transaction) => Promise<T>): Promise<T>
}

/**
 * What an isolated task gets, in its thread: no app, no transaction, and a result without verbs. Its signal is never
 * aborted, since a thread is killed.
 */
export interface IsolatedContext extends Omit<TaskContext, 'app' | 'transaction'> {}
