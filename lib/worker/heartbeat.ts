/**
 * What the main loop and the keeper's thread share without a message: whether the loop turns, how many rows are held, and
 * until when the loop knows its lease to be held. Shared memory, because a blocked loop sends nothing.
 */
export class Heartbeat {
  readonly memory: SharedArrayBuffer
  readonly #cells: Int32Array
  readonly #moments: BigInt64Array

  constructor (memory: SharedArrayBuffer = new SharedArrayBuffer(16)) {
    this.memory = memory
    this.#cells = new Int32Array(memory, 0, 2)
    this.#moments = new BigInt64Array(memory, 8, 1)
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

  /** Monotonic, in whole milliseconds; 0 where the loop has said nothing. */
  get heldUntil (): number {
    return Number(Atomics.load(this.#moments, 0))
  }

  set heldUntil (moment: number) {
    Atomics.store(this.#moments, 0, BigInt(Math.floor(moment)))
  }
}

/** Milliseconds between two beats: several within the shortest block that matters. */
export function beatInterval (maxBlock: number): number {
  return Math.min(250, Math.max(10, maxBlock / 5))
}
