import type { Knex } from 'knex'
import type { PooledConnection } from './pooled.js'

/**
 * The one connection that writes to a SQLite file, for calls that are sent beside each other. Anything else takes it from
 * the pool, in a turn in which nobody shares it.
 */
export class SharedConnection {
  readonly #knex: Knex
  #users = 0
  #connection: Promise<PooledConnection> | null = null

  constructor (knex: Knex) {
    this.#knex = knex
  }

  async use<T> (work: (connection: PooledConnection) => Promise<T>): Promise<T> {
    this.#users += 1
    const taken = this.#connection ??= this.#knex.client.acquireConnection() as Promise<PooledConnection>
    try {
      return await work(await taken)
    } finally {
      this.#users -= 1
      if (this.#users === 0) {
        this.#connection = null
        await taken.then(async (connection) => { await this.#knex.client.releaseConnection(connection) }, () => {}) // its error is the work's
      }
    }
  }
}
