/** Does something at once when it is asked to, and then at most once in `intervalMs`: whoever asks meanwhile shares the next time. */
export class Spaced {
  readonly #act: () => void
  readonly #intervalMs: number
  #timer: NodeJS.Timeout | null = null
  #owed = false
  #closed = false
  #lastAt = -Infinity

  constructor (intervalMs: number, act: () => void) {
    this.#intervalMs = intervalMs
    this.#act = act
  }

  /** True from a time that it was done until the interval is over. */
  get resting (): boolean { return this.#timer !== null }

  /** By `performance.now()`; -Infinity before the first time. */
  get lastAt (): number { return this.#lastAt }

  ask (): void {
    if (this.#closed) return
    if (this.#timer !== null) this.#owed = true
    else this.#do()
  }

  /** Somebody has done it in another way: the interval begins. */
  done (): void {
    if (this.#closed || this.#timer !== null) return
    this.#lastAt = performance.now()
    this.#timer = setTimeout(() => {
      this.#timer = null
      if (this.#owed) this.#do()
    }, this.#intervalMs)
  }

  /** What is owed is done before the end, and nothing afterwards. */
  close (): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#owed) this.#act()
    this.#timer = null
    this.#owed = false
  }

  #do (): void {
    this.#owed = false
    this.#act()
    this.done()
  }
}
