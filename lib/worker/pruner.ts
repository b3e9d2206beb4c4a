import type { FastifyBaseLogger } from 'fastify'
import type { Retention } from '../backends/run-options.js'
import type { Pruned, Store } from '../store/store.js'
import { PRUNE_ROWS_MAX } from '../core/limits.js'

/** Deletes old finished results, a small batch at a time. */
export class Pruner {
  readonly #store: Store
  readonly #backend: string
  readonly #retention: Retention
  readonly #log: FastifyBaseLogger

  constructor (store: Store, backend: string, retention: Retention, log: FastifyBaseLogger) {
    this.#store = store
    this.#backend = backend
    this.#retention = retention
    this.#log = log
  }

  /** Until nothing old is left, or the worker stops. Answers how many were deleted. */
  async runOnce (signal: AbortSignal): Promise<number> {
    const { successful: minAgeMs, failed: failedMinAgeMs, cancelled: cancelledMinAgeMs } = this.#retention
    let total = 0
    for (let after: string | null = null, more = true; more && !signal.aborted;) {
      const pruned: Pruned = await this.#store.prune({ backend: this.#backend, minAgeMs, failedMinAgeMs, cancelledMinAgeMs, limit: PRUNE_ROWS_MAX, after })
      total += pruned.deleted
      after = pruned.after
      more = after !== null
    }
    if (total > 0) this.#log.info({ backend: this.#backend, deleted: total }, 'old results were pruned')
    return total
  }
}
