import type { DatabaseBackend } from '../backends/database.js'
import type { TasksHost } from '../core/host.js'
import type { ResultFields, TaskError } from '../core/result.js'
import { isFinishedStatus } from '../core/status.js'
import type { Outcome } from '../run/outcome.js'
import type { ClaimedRow, Ending, FinishedRow, StoredError } from '../store/store.js'
import type { Report } from './reporter.js'

/** Tells hooks, channels and the log what has become of the rows that a worker ran, once it is written. */
export class Telling {
  readonly #host: TasksHost
  readonly #backend: DatabaseBackend

  constructor (host: TasksHost, backend: DatabaseBackend) {
    this.#host = host
    this.#backend = backend
  }

  /** False where nobody hears how such an ending is told; `unheard` is for what comes of it all the same. */
  isHeard ({ status }: Ending): boolean {
    return status !== 'SUCCESSFUL' || this.#host.events.wants('onFinished')
  }

  /** Of an ending that the worker has written: nothing is read again. */
  ended (fields: ResultFields, ending: Ending, outcome: Pick<Outcome, 'durationMs'> & { readonly value?: unknown }, finished: FinishedRow): void {
    const { events } = this.#host
    const name = finished.status === 'READY' ? 'onRetried' : 'onFinished'
    if (!events.wants(name, finished.status)) return
    const result = this.#backend.resultOf(Object.freeze({
      ...fields,
      status: finished.status,
      finishedAt: finished.status === 'READY' ? null : new Date(finished.at),
      ...(finished.status === 'READY' && finished.runAfter !== null && { runAfter: new Date(finished.runAfter) }),
      returnValue: finished.status === 'SUCCESSFUL' ? outcome.value ?? null : null,
      errors: 'errors' in ending ? ending.errors.map(toTaskError) : fields.errors
    }))
    events.emit(name, result, { durationMs: outcome.durationMs, ...(ending.status === 'READY' && { delay: ending.delay }) })
  }

  /**
   * Of a success that nobody would have heard of, and of which nothing was kept. It may have become another ending, which
   * is heard; and who has begun to listen since then hears of it, too.
   */
  unheard (report: Report, finished: FinishedRow): void {
    if (!this.#host.events.wants('onFinished', finished.status)) return // as nearly always: without a promise
    // A success for its value; nobody puts it back.
    void (finished.status === 'SUCCESSFUL' ? this.#readAndTell(report.row, report.durationMs) : this.#decodeAndTell(report, finished))
  }

  /** Never throws. */
  async #decodeAndTell ({ row, ending, durationMs }: Report, finished: FinishedRow): Promise<void> {
    try {
      this.ended(await this.#backend.decodeRow(row), ending as Ending, { durationMs: durationMs ?? 0 }, finished)
    } catch (error) {
      this.#host.log.warn({ err: error, id: row.id }, UNREADABLE)
    }
  }

  /** Of an ending that the store has made of its own, or inside the task's transaction. Never throws. */
  async stored (row: ClaimedRow, durationMs?: number, returned = false): Promise<void> {
    const { events } = this.#host
    if (events.wants('onFinished') || events.wants('onFinished', 'CANCELLED')) await this.#readAndTell(row, durationMs, returned)
  }

  /** Never throws. */
  async #readAndTell (row: ClaimedRow, durationMs?: number, returned = false): Promise<void> {
    const { events, log } = this.#host
    try {
      const stored = await this.#backend.store.get(row.id)
      if (stored === null || !isFinishedStatus(stored.status)) return
      // Handing it back has cancelled it, or left it READY: then another may have ended it by now, and tells.
      if (returned && (stored.status !== 'CANCELLED' || stored.attempts >= row.attempts)) return
      events.emit('onFinished', this.#backend.resultOf(await this.#backend.decodeRow(stored)), { durationMs })
    } catch (error) {
      log.warn({ err: error, id: row.id }, UNREADABLE)
    }
  }
}

const UNREADABLE = 'a task has ended, but its result could not be read for onFinished'

function toTaskError ({ at, ...error }: StoredError): TaskError {
  return { ...error, at: new Date(at) }
}
