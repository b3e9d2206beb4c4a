import { NoAnswer } from './faults.js'

/**
 * The writers of one SQLite file in this process, one at a time, in order of arrival. In front of the driver: a second
 * node-sqlite3 connection that waits for the writer would block one of libuv's four threads, and four of them the very
 * COMMIT they wait for.
 */
export class WriterQueue {
  #last: Promise<void> = Promise.resolve()
  #movedAt = 0

  /**
   * Resolves when it is this writer's turn; call the function to give the turn up. A long queue is waited for as long as
   * it moves.
   * @param patienceMs - how long one and the same writer may have its turn
   * @throws NoAnswer where it has had it for longer
   */
  async enter (patienceMs: number): Promise<() => void> {
    const before = this.#last
    let leave!: () => void
    this.#last = new Promise((resolve) => {
      leave = () => {
        this.#movedAt = performance.now()
        resolve()
      }
    })
    if (await this.#waited(before, patienceMs)) return leave
    void before.then(leave) // whoever comes behind waits for the same writer
    throw new NoAnswer()
  }

  /** False where the turn did not change hands for so long. */
  async #waited (before: Promise<void>, patienceMs: number): Promise<boolean> {
    const since = performance.now()
    let timer: NodeJS.Timeout | undefined
    const stuck = new Promise<false>((resolve) => {
      const look = (): void => {
        const left = Math.max(since, this.#movedAt) + patienceMs - performance.now()
        if (left <= 0) resolve(false)
        else timer = setTimeout(look, left)
      }
      timer = setTimeout(look, patienceMs)
    })
    try {
      return await Promise.race([before.then(() => true), stuck])
    } finally {
      clearTimeout(timer)
    }
  }
}

const queues = new Map<string, WriterQueue>()

/** The queue of a file; one a process, whatever number of stores opened it. */
export function writerQueueOf (path: string): WriterQueue {
  const known = queues.get(path)
  if (known !== undefined) return known
  const queue = new WriterQueue()
  queues.set(path, queue)
  return queue
}
