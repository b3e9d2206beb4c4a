import { writeSync } from 'node:fs'
import { monotonic } from './pause.js'
import type { PipeMessage } from './messages.js'

export const PIPE_WAIT_MS = 1_000 // what a reader gets to make room
const TRY_MS = 5 // between two tries

/** Writes to the supervisor's pipe, which makes nobody wait: what it has no room for is refused, or cut off. */
export class PipeWriter {
  readonly #pipe: number
  readonly #waitMs: number
  readonly #nothing = new Int32Array(new SharedArrayBuffer(4))
  #cut = false

  /** @param pipe - file descriptor of a pipe that does not block */
  constructor (pipe: number, waitMs = PIPE_WAIT_MS) {
    this.#pipe = pipe
    this.#waitMs = waitMs
  }

  /**
   * Synchronous, because this process may have no further moment. With `wait` the supervisor gets time to make room. What
   * finds none, or nobody to read it, is not sent: then the supervisor is gone, or will notice the silence.
   */
  send (message: PipeMessage, { wait = false } = {}): void {
    // Behind one that was cut off it begins a line of its own.
    let rest = Buffer.from(`${this.#cut ? '\n' : ''}${JSON.stringify(message)}\n`)
    const deadline = monotonic() + (wait ? this.#waitMs : 0)
    while (rest.length > 0) {
      const written = this.#write(rest)
      if (written > 0) this.#cut = true
      else if (written < 0 || monotonic() >= deadline) return
      else Atomics.wait(this.#nothing, 0, 0, TRY_MS)
      rest = rest.subarray(written)
    }
    this.#cut = false
  }

  /** So many bytes; -1 where nobody reads them. */
  #write (bytes: Buffer): number {
    try {
      return writeSync(this.#pipe, bytes)
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 0 : -1
    }
  }
}
