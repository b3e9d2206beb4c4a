import type { Knex } from 'knex'
import type { Deadline } from './deadline.js'
import { NoAnswer } from './faults.js'

/** As Knex's pool holds it; of `pg`'s own there is a socket under it. */
export interface PooledConnection {
  connection?: { stream?: { destroy (): void } }
  /** Knex drops a connection with this mark, and does not give it to anybody again. */
  __knex__disposed?: unknown
}

/**
 * Connections of one pool, taken until a deadline. A socket may be half open: nothing answers, nothing fails. When the
 * time is over its connection is destroyed; and those that have not answered since that statement was sent are not
 * trusted any more, or each of them would cost its caller as long.
 */
export class Pooled {
  readonly #knex: Knex
  readonly #answeredAt = new WeakMap<PooledConnection, number>()
  #silentSince = 0

  constructor (knex: Knex) {
    this.#knex = knex
  }

  /** Work with a connection, and give it back. @throws NoAnswer */
  async use<T> (deadline: Deadline, work: (connection: PooledConnection) => Promise<T>): Promise<T> {
    let connection: PooledConnection | null = null
    const sentAt = performance.now()
    const run = async (): Promise<T> => {
      connection = await this.#acquire(deadline)
      try {
        const answer = await work(connection)
        this.#answeredAt.set(connection, performance.now())
        return answer
      } finally {
        await this.release(connection)
      }
    }
    return await deadline.limit(run(), () => { this.#giveUp(connection, sentAt) })
  }

  /** Take a connection, to be given back by `release`. @throws NoAnswer */
  async take (deadline: Deadline): Promise<PooledConnection> {
    return await deadline.limit(this.#acquire(deadline), () => {})
  }

  async release (connection: PooledConnection): Promise<void> {
    await this.#knex.client.releaseConnection(connection)
  }

  /** Wait for an answer on a connection that is taken already. @throws NoAnswer */
  async answer<T> (deadline: Deadline, connection: PooledConnection, work: Promise<T>): Promise<T> {
    const sentAt = performance.now()
    const answer = await deadline.limit(work, () => { this.#giveUp(connection, sentAt) })
    this.#answeredAt.set(connection, performance.now())
    return answer
  }

  async #acquire (deadline: Deadline): Promise<PooledConnection> {
    for (;;) {
      const connection = await this.#knex.client.acquireConnection() as PooledConnection
      const suspect = (this.#answeredAt.get(connection) ?? Infinity) < this.#silentSince
      if (!suspect && deadline.left > 0) return connection
      if (suspect) discard(connection)
      await this.release(connection)
      if (deadline.left === 0) throw new NoAnswer() // nobody waits for it any more
    }
  }

  #giveUp (connection: PooledConnection | null, sentAt: number): void {
    if (connection === null) return // the pool is empty, or cannot connect: nothing is known of the others
    this.#silentSince = sentAt
    discard(connection)
  }
}

function discard (connection: PooledConnection): void {
  connection.__knex__disposed = 'no answer in time'
  connection.connection?.stream?.destroy()
}
