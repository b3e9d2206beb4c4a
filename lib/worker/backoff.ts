/** Pauses between tries: doubling from `min` to `max` milliseconds, each spread so that processes do not try in step. */
export class Backoff {
  readonly #min: number
  readonly #max: number
  #tries = 0

  constructor (min: number, max: number) {
    this.#min = min
    this.#max = max
  }

  /** Milliseconds to wait before the next try. */
  next (): number {
    const pause = Math.min(this.#max, this.#min * 2 ** this.#tries)
    if (pause < this.#max) this.#tries += 1
    return pause * (0.75 + Math.random() / 4)
  }

  reset (): void {
    this.#tries = 0
  }
}
