/**
 * What the main loop and the keeper's thread share without a message: whether the loop turns, and how many rows are
 * held. Shared memory, because a blocked loop sends nothing.
 */
export class Heartbeat {
  readonly memory: SharedArrayBuffer
  readonly #cells: Int32Array

  constructor (memory: SharedArrayBuffer = new SharedArrayBuffer(8)) {
    this.memory = memory
    this.#cells = new Int32Array(memory)
  }

  /** The main loop has turned. */
  beat (): void {
    Atomics.add(this.#cells, 0, 1)
  }

  /** Changes with each beat. */
  get count (): number {
    return Atomics.load(this.#cells, 0)
  }

  /** Rows that are claimed: running and buffered. */
  get held (): number {
    return Atomics.load(this.#cells, 1)
  }

  set held (rows: number) {
    Atomics.store(this.#cells, 1, rows)
  }
}

/** Milliseconds between two beats: several within the shortest block that matters. */
export function beatInterval (maxBlock: number): number {
  return Math.min(250, Math.max(10, maxBlock / 5))
}
