import type { TaskResult } from '../core/result.js'
import type { TaskResultStatus } from '../core/status.js'
import type { QueueStats } from '../store/store.js'

/** One result, or every one that fits all that is said. Checked by who asks. */
export type ResultSelection =
  | { readonly id: string }
  | ResultFilter

export interface ResultFilter {
  readonly status?: TaskResultStatus | undefined
  readonly queue?: string | undefined
  readonly task?: string | undefined
  readonly tag?: string | undefined
}

export interface ListRequest extends ResultFilter, ListTimes {
  readonly limit: number
  /** An id: results older than that one. */
  readonly after?: string | undefined
}

/** That moment or later (`After`), earlier than it (`Before`). */
export interface ListTimes {
  readonly enqueuedAfter?: Date | undefined
  readonly enqueuedBefore?: Date | undefined
  /** Of results that have ended; no other one fits. */
  readonly finishedAfter?: Date | undefined
  readonly finishedBefore?: Date | undefined
}

/** A page of results, newest first. It may be short though there is a `next`, where what fits is rare. */
export interface ResultPage {
  readonly results: TaskResult[]
  /** For `after`; null at the end. */
  readonly next: string | null
}

/** The state of one backend's queues and workers. */
export interface BackendStats {
  readonly queues: Readonly<Record<string, Readonly<QueueStats>>>
  readonly workers: ReadonlyArray<{ readonly id: string, readonly lastSeen: Date, readonly running: number }>
  /** READY results by the names that no live worker knows. */
  readonly unknownTasks: ReadonlyArray<{ readonly name: string, readonly ready: number }>
  /** True where counts above 10,000 rows are estimates. */
  readonly approximate: boolean
}

export interface BackendHealth {
  readonly ok: boolean
  /** Why not, as sentences. */
  readonly reasons: readonly string[]
}

/**
 * What `app.tasks` asks of a backend beyond enqueueing and reading. A backend has those of the verbs that it can do; the
 * others are FST_TASKS_UNSUPPORTED.
 */
export interface BackendControl {
  /** Answers how many it took effect on. */
  cancel (selection: ResultSelection): Promise<number>
  /** Put FAILED and CANCELLED results back. Answers how many. */
  retry (selection: ResultSelection): Promise<number>
  pause (queue: string): Promise<void>
  resume (queue: string): Promise<void>
  list (request: ListRequest): Promise<ResultPage>
  stats (): Promise<BackendStats>
  health (): Promise<BackendHealth>
}
