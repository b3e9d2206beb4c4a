import type { Run } from './runner.js'

/**
 * What runs now. An array, and not a Set: a Set that much is added to and deleted from lays out new tables all the time,
 * each old one points to its successor, and once one is in the old generation every later one is kept with all that it
 * held, until that generation is collected: the heap of a busy worker then grows by everything it has run.
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
