import type { FastifyBaseLogger } from 'fastify'
import type { Store } from '../store/store.js'
import { PRUNE_FAILED_MIN_AGE_MS, PRUNE_MIN_AGE_MS, PRUNE_ROWS_MAX } from '../core/limits.js'

/** Deletes old finished results, a small batch at a time. */
export class Pruner {
  readonly #store: Store
  readonly #backend: string
  readonly #log: FastifyBaseLogger

  constructor (store: Store, backend: string, log: FastifyBaseLogger) {
    this.#store = store
    this.#backend = backend
    this.#log = log
  }

  /** Until nothing old is left, or the worker stops. Answers how many were deleted. */
  async runOnce (signal: AbortSignal): Promise<number> {
    let total = 0
    for (let more = true; more && !signal.aborted;) {
      const pruned = await this.#store.prune({ backend: this.#backend, minAgeMs: PRUNE_MIN_AGE_MS, failedMinAgeMs: PRUNE_FAILED_MIN_AGE_MS, limit: PRUNE_ROWS_MAX })
      total += pruned.deleted
      more = pruned.more
    }
    if (total > 0) this.#log.info({ backend: this.#backend, deleted: total }, 'old results were pruned')
    return total
  }
}
