import { isMainThread } from 'node:worker_threads'
import { NoAnswer } from './faults.js'

// One in a process has a second call beside its first: it waits for that inside of SQLite, and begins without the
// event loop, but it takes one more of libuv's four threads, which all files share, and worker threads as well.
const SECONDS_MAX = isMainThread ? 1 : 0
let seconds = 0

/**
 * The writers of one SQLite file in this process, in order of arrival: one transaction at a time, or two calls of
 * procedures on one connection. In front of the driver: a second node-sqlite3 connection that waits for the writer would
 * block one of libuv's four threads, and four of them the very COMMIT they wait for.
 */
export class WriterQueue {
  readonly #waiting: Waiter[] = []
  #inside = 0
  /** Whose calls are inside; null for anything else. */
  #owner: object | null = null
  #movedAt = 0

  /**
   * Resolves when it is this writer's turn; call the function to give the turn up. A long queue is waited for as long as
   * it moves.
   * @param patienceMs - how long one and the same writer may have its turn
   * @param owner - for a call, beside which another one of the same owner may be sent
   * @throws NoAnswer where it has had it for longer
   */
  async enter (patienceMs: number, owner: object | null = null): Promise<() => void> {
    if (this.#waiting.length > 0 || !this.#admits(owner)) await this.#wait(patienceMs, owner)
    else this.#admit(owner)
    let inside = true
    return () => {
      if (!inside) return
      inside = false
      this.#leave()
    }
  }

  #admits (owner: object | null): boolean {
    return this.#inside === 0 || (this.#inside === 1 && owner !== null && owner === this.#owner && seconds < SECONDS_MAX)
  }

  #admit (owner: object | null): void {
    this.#inside += 1
    if (this.#inside === 2) seconds += 1
    this.#owner = owner
  }

  #leave (): void {
    this.#movedAt = performance.now()
    if (this.#inside === 2) seconds -= 1
    this.#inside -= 1
    this.#next()
  }

  #next (): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#admits(next.owner); next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#admit(next.owner)
      next.begin()
    }
  }

  async #wait (patienceMs: number, owner: object | null): Promise<void> {
    const since = performance.now()
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        const left = Math.max(since, this.#movedAt) + patienceMs - performance.now()
        if (left > 0) {
          timer = setTimeout(look, left)
          return
        }
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
        reject(new NoAnswer())
        this.#next() // whoever stood behind it may be let in where it was not
      }
      let timer = setTimeout(look, patienceMs)
      const waiter: Waiter = {
        owner,
        begin: () => {
          clearTimeout(timer)
          resolve()
        }
      }
      this.#waiting.push(waiter)
    })
  }
}

interface Waiter { readonly owner: object | null, readonly begin: () => void }

const queues = new Map<string, WriterQueue>()

/** The queue of a file; one a process, whatever number of stores opened it. */
export function writerQueueOf (path: string): WriterQueue {
  const known = queues.get(path)
  if (known !== undefined) return known
  const queue = new WriterQueue()
  queues.set(path, queue)
  return queue
}
