import type { FastifyBaseLogger } from 'fastify'
import { OUTAGE_BACKOFF_MAX_MS, OUTAGE_BACKOFF_MIN_MS } from '../core/limits.js'
import { Backoff } from './backoff.js'

/** A database that is away: said once when it goes and once when it is back, however many calls meet it. */
export class Outage {
  readonly #log: FastifyBaseLogger
  readonly #backoff = new Backoff(OUTAGE_BACKOFF_MIN_MS, OUTAGE_BACKOFF_MAX_MS)
  #since: number | null = null

  constructor (log: FastifyBaseLogger) {
    this.#log = log
  }

  /** A call failed. Answers the milliseconds to wait before the next. */
  failed (error: unknown, what: string): number {
    if (this.#since === null) {
      this.#since = performance.now()
      this.#log.error({ err: error }, `${what}; trying again`)
    }
    return this.#backoff.next()
  }

  /** A call succeeded. */
  over (): void {
    if (this.#since === null) return
    this.#log.info({ outageMs: Math.round(performance.now() - this.#since) }, 'the task database answers again')
    this.#since = null
    this.#backoff.reset()
  }
}
