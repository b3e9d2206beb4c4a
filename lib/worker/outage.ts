import type { FastifyBaseLogger } from 'fastify'
import { OUTAGE_BACKOFF_MAX_MS, OUTAGE_BACKOFF_MIN_MS } from '../core/limits.js'
import { Backoff } from './backoff.js'

/** A database that is away: each thing that fails is said once when it begins to, and that all is well once in the end. */
export class Outage {
  readonly #log: FastifyBaseLogger
  readonly #failing = new Map<string, Backoff>()
  readonly #onLong: (() => void) | null
  readonly #longMs: number
  #since = 0

  /** `onLong` is called at each failure once something has been failing for `longMs`. */
  constructor (log: FastifyBaseLogger, { longMs = Infinity, onLong = null }: { longMs?: number, onLong?: (() => void) | null } = {}) {
    this.#log = log
    this.#longMs = longMs
    this.#onLong = onLong
  }

  /** A call failed. Answers the milliseconds to wait before the next try. */
  failed (error: unknown, what: string): number {
    let backoff = this.#failing.get(what)
    if (backoff === undefined) {
      if (this.#failing.size === 0) this.#since = performance.now()
      backoff = new Backoff(OUTAGE_BACKOFF_MIN_MS, OUTAGE_BACKOFF_MAX_MS)
      this.#failing.set(what, backoff)
      this.#log.error({ err: error }, `${what}; trying again`)
    }
    if (performance.now() - this.#since > this.#longMs) this.#onLong?.()
    return backoff.next()
  }

  /** The same call succeeded. */
  over (what: string): void {
    if (!this.#failing.delete(what) || this.#failing.size > 0) return
    this.#log.info({ outageMs: Math.round(performance.now() - this.#since) }, 'the task database answers again')
  }
}
