/**
 * The writers of one SQLite file in this process, one at a time, in order of arrival. In front of the driver: a second
 * node-sqlite3 connection that waits for the writer would block one of libuv's four threads, and four of them the very
 * COMMIT they wait for.
 */
export class WriterQueue {
  #last: Promise<void> = Promise.resolve()

  /** Resolves when it is this writer's turn; call the function to give the turn up. */
  async enter (): Promise<() => void> {
    const before = this.#last
    let leave!: () => void
    this.#last = new Promise((resolve) => { leave = resolve })
    await before
    return leave
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
