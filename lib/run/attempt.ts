import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Knex } from 'knex'
import type { AnyTask } from '../core/task.js'
import type { TaskResult } from '../core/result.js'
import type { ContextVerbs } from './context.js'
import type { Outcome, AbortCause } from './outcome.js'

/** One attempt to be run: everything it needs, nothing it could write with. Its functions are called on it. */
export interface AttemptRequest {
  readonly app: FastifyInstance
  readonly task: AnyTask
  readonly args: readonly unknown[]
  /** A snapshot in status RUNNING. */
  readonly taskResult: TaskResult
  /** 1 is the first. */
  readonly attempt: number
  readonly log: FastifyBaseLogger
  /** Milliseconds; null for none. */
  readonly timeout: number | null
  readonly timeoutGrace: number
  readonly maxResultBytes: number
  readonly maxDepth: number
  /** The clock by which errors are dated. */
  readonly now: () => number
  /** Encode a return value or progress (the backend's serializer); default: the JSON gate. */
  readonly encode?: (value: unknown) => Promise<string> | string
  /** Where context.progress() goes; absent: kept nowhere. */
  readonly progress?: (text: string) => Promise<void>
  /**
   * Where context.transaction() goes; absent: FST_TASKS_UNSUPPORTED. Runs `fn`, writes the ending and commits; throws
   * FST_TASKS_CLAIM_LOST where the token no longer holds.
   */
  readonly transaction?: <T>(fn: (trx: Knex.Transaction) => Promise<T>, encode: (value: T) => Promise<string>) => Promise<T>
  /** Runs the task somewhere else than here; absent: its function is called. */
  readonly isolated?: (request: AttemptRequest, verbs: Pick<ContextVerbs, 'progress' | 'signal'>) => Promise<unknown>
}

/** An attempt under way. */
export interface RunningAttempt {
  /** Settles when the attempt has an outcome: for one that ignores its signal, at the end of its grace. Never rejects. */
  readonly outcome: Promise<Outcome>
  /** Resolves when the user's function has really settled, which may be later than `outcome`, or never. */
  readonly settled: Promise<void>
  /** Resolves when it was aborted and its grace is over, where it has not settled by then: after a commit, that is later than `outcome`. */
  readonly overdue: Promise<void>
  /** True once `settled` has resolved. */
  readonly isSettled: boolean
  abort (cause: AbortCause): void
}
