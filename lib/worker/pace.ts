import { MARK_AHEAD_MAX_MS, MARK_AHEAD_MS, MARK_SHORT_MS, MARK_TIMES } from '../core/limits.js'

// Rises at once when tasks turn out long, falls slowly: to hoard costs others their turn, to claim often costs little.
const RISE = 0.5
const FALL = 0.1
const SHORTEST_MS = 0.02 // what an empty attempt costs by itself

/** How fast attempts go by here, measured. Says how far ahead it makes sense to claim. */
export class Pace {
  readonly #concurrency: number
  #meanMs: number | null = null
  #markMs = 0

  constructor (concurrency: number) {
    this.#concurrency = concurrency
  }

  add (durationMs: number): void {
    const mean = this.#meanMs
    this.#meanMs = mean === null ? durationMs : mean + (durationMs - mean) * (durationMs > mean ? RISE : FALL)
  }

  /** So long did it take to mark rows as started. */
  marked (durationMs: number): void {
    this.#markMs += (durationMs - this.#markMs) * FALL
  }

  /** Nothing is known any more, as at the start: what was buffered did not start in time. */
  forget (): void {
    this.#meanMs = null
  }

  /**
   * How many rows to mark as started at once: what starts while that is written, or slots would stand empty meanwhile. 0,
   * and so exactly those that start, where attempts are long beside it.
   */
  get stride (): number {
    if (this.#meanMs === null) return 0
    const ahead = Math.min(MARK_AHEAD_MAX_MS, MARK_TIMES * this.#markMs)
    return this.startsWithin(this.#meanMs < MARK_SHORT_MS ? Math.max(MARK_AHEAD_MS, ahead) : ahead)
  }

  /** How many attempts would start within so many milliseconds while all slots are taken; 0 until one was measured. */
  startsWithin (milliseconds: number): number {
    if (this.#meanMs === null) return 0
    return Math.floor(this.#concurrency * milliseconds / Math.max(this.#meanMs, SHORTEST_MS))
  }
}
