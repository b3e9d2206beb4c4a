import type { Worker as Thread } from 'node:worker_threads'

const IDLE = 0
const OPEN = 1
const LEAVING = 2
const CLOSED = 3

/**
 * How a thread with a SQLite file ends: by itself, and never from outside. The driver completes its work in the thread
 * that asked for it; where Node.js takes that thread down meanwhile (`terminate`, or the process exits), or while the driver
 * is being loaded, it aborts the whole process. Shared memory, because a process that exits handles no messages any more.
 */
export class ThreadEnd {
  readonly memory: SharedArrayBuffer
  readonly #cells: Int32Array

  constructor (memory: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.memory = memory
    this.#cells = new Int32Array(memory)
  }

  /** In the thread: it is about to load its driver and open its database. False where the process is leaving: then it must not. */
  open (): boolean {
    return Atomics.compareExchange(this.#cells, 0, IDLE, OPEN) === IDLE
  }

  /** In the thread: nothing is open any more, and nothing under way. */
  closed (): void {
    Atomics.store(this.#cells, 0, CLOSED)
    Atomics.notify(this.#cells, 0)
  }

  /** On the main thread: it opens nothing from now on. True where it had something open. */
  leave (): boolean {
    if (Atomics.compareExchange(this.#cells, 0, IDLE, LEAVING) === IDLE) return false
    return Atomics.compareExchange(this.#cells, 0, OPEN, LEAVING) === OPEN
  }

  /** On the main thread, which does nothing meanwhile. */
  wait (milliseconds: number): void {
    Atomics.wait(this.#cells, 0, LEAVING, milliseconds)
  }
}

const EXIT_WAIT_MS = 6_000 // a statement that waits for a lock does so for 5 s at most

const living = new Map<Thread, { end: ThreadEnd, stop: () => void }>()

/** Where the process exits while this thread lives, it waits until the thread has closed its database; `stop` tells it to. */
export function waitAtExit (thread: Thread, end: ThreadEnd, stop: () => void): void {
  if (living.size === 0) process.on('exit', onExit)
  living.set(thread, { end, stop })
  thread.once('exit', () => {
    living.delete(thread)
    if (living.size === 0) process.off('exit', onExit)
  })
}

function onExit (): void {
  const open = [...living.values()].filter(({ end }) => end.leave())
  for (const { stop } of open) stop()
  const deadline = performance.now() + EXIT_WAIT_MS
  for (const { end } of open) end.wait(Math.max(0, deadline - performance.now()))
}
