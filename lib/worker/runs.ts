import type { Run } from './runner.js'

/**
 * What runs now. An array, and not a Set: a Set that much is added to and deleted from lays out new tables all the time.
 */
export class Runs {
  readonly #runs: Run[] = []

  get size (): number {
    return this.#runs.length
  }

  add (run: Run): void {
    run.slot = this.#runs.length
    this.#runs.push(run)
  }

  delete (run: Run): void {
    if (this.#runs[run.slot] !== run) return
    const last = this.#runs.pop() as Run
    if (last === run) return
    this.#runs[run.slot] = last
    last.slot = run.slot
  }

  /** Those that run at the beginning of the iteration. */
  [Symbol.iterator] (): ArrayIterator<Run> {
    return [...this.#runs].values()
  }
}
