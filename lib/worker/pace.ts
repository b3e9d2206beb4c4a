import { MARK_AHEAD_MS, MARK_EXACT_MS } from '../core/limits.js'

// Rises at once when tasks turn out long, falls slowly: to hoard costs others their turn, to claim often costs little.
const RISE = 0.5
const FALL = 0.1
const SHORTEST_MS = 0.02 // what an empty attempt costs by itself

/** How fast attempts go by here, measured. Says how far ahead it makes sense to claim. */
export class Pace {
  readonly #concurrency: number
  #meanMs: number | null = null

  constructor (concurrency: number) {
    this.#concurrency = concurrency
  }

  add (durationMs: number): void {
    const mean = this.#meanMs
    this.#meanMs = mean === null ? durationMs : mean + (durationMs - mean) * (durationMs > mean ? RISE : FALL)
  }

  /** Nothing is known any more, as at the start: what was buffered did not start in time. */
  forget (): void {
    this.#meanMs = null
  }

  /**
   * How many rows to mark as started at once. 0, and so exactly those that start, unless attempts are over so fast that
   * a round trip for each wave of them would be what takes the time: then as many as start within 4 ms.
   */
  get stride (): number {
    return this.#meanMs !== null && this.#meanMs < MARK_EXACT_MS ? this.startsWithin(MARK_AHEAD_MS) : 0
  }

  /** How many attempts would start within so many milliseconds while all slots are taken; 0 until one was measured. */
  startsWithin (milliseconds: number): number {
    if (this.#meanMs === null) return 0
    return Math.floor(this.#concurrency * milliseconds / Math.max(this.#meanMs, SHORTEST_MS))
  }
}
