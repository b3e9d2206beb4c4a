import { createHash } from 'node:crypto'
import type { Knex } from 'knex'
import type { Connections } from './connections.js'
import type { Deadline } from './deadline.js'
import type { Dialect } from './dialects/dialect.js'
import type { Pooled, PooledConnection } from './pooled.js'

const NO_OPTIONS = Object.freeze({})

type Records = Array<Record<string, unknown>>
type Bindings = readonly unknown[]
type Options = Readonly<Record<string, unknown>>

/** How a statement is sent. */
export interface How {
  /**
   * `once`: prepared under a name, so that it is parsed and planned once a connection. For texts that are always the
   * same, and whose one plan is right whatever the values. Else it is planned each time, for what it is given: PostgreSQL
   * takes an array that it has not seen for one of ten.
   */
  readonly plan?: 'once'
  /** To be sent instead once an earlier try may have taken effect, or where a row is there already. */
  readonly again?: string
}

/** One statement, once: on a connection of the pool, straight through its driver where that is ours. */
export class Sending {
  readonly #connections: Connections
  readonly #pooled: Pooled
  readonly #dialect: Dialect
  /** By text. Each verb has a few texts at most, whatever it is asked for. */
  readonly #names = new Map<string, Named>()

  constructor (connections: Connections, pooled: Pooled, dialect: Dialect) {
    this.#connections = connections
    this.#pooled = pooled
    this.#dialect = dialect
  }

  async records (deadline: Deadline, knex: Knex, sql: string, bindings: Bindings, how: How): Promise<Records> {
    return this.#dialect.rowsOf(await this.#query(deadline, knex, sql, bindings, how))
  }

  async tuples (deadline: Deadline, knex: Knex, sql: string, bindings: Bindings, how: How): Promise<unknown[][]> {
    return this.#dialect.tuplesOf(await this.#query(deadline, knex, sql, bindings, how, this.#dialect.tupleOptions))
  }

  /** Work on a connection, which goes back to the pool afterwards. */
  async with<T> (deadline: Deadline, knex: Knex, work: (connection: PooledConnection) => Promise<T>): Promise<T> {
    if (!this.#dialect.singleWriter) return await this.#pooled.use(deadline, work)
    // SQLite has no socket: its waits end by busy_timeout.
    const connection = await knex.client.acquireConnection() as PooledConnection
    try {
      return await work(connection)
    } finally {
      await knex.client.releaseConnection(connection)
    }
  }

  async #query (deadline: Deadline, knex: Knex, sql: string, bindings: Bindings, how: How, options?: Options): Promise<unknown> {
    const named = this.optionsOf(sql, how)
    const all = options === undefined ? named : { ...named, ...options }
    const { shared, writer, wireOf } = this.#connections
    const wire = wireOf(knex)
    const send = async (connection: PooledConnection): Promise<unknown> => wire === null
      ? await knex.raw(sql, bindings as Knex.RawBinding[]).options(all).connection(connection)
      : await wire.send(connection, sql, bindings, all)
    return shared !== null && knex === writer ? await shared.use(send) : await this.with(deadline, knex, send)
  }

  /** What a driver is to be told, for a connection of our own. */
  optionsOf (sql: string, { plan }: How): Options {
    return plan === 'once' ? this.#named(sql) : NO_OPTIONS
  }

  /**
   * The name to prepare a statement under: parsed and planned once a connection. It changes with every tenfold use, up to 10,000.
   * PostgreSQL keeps a plan for good once that is not dearer than what those before it cost on the average; where these were
   * made while the tables were empty, it goes on to make a new one each time.
   */
  #named (sql: string): Options {
    if (!this.#connections.prepares) return NO_OPTIONS
    let named = this.#names.get(sql)
    if (named === undefined) {
      named = { uses: 0, renewAt: RENEW_FIRST_AT, options: { name: nameOf(sql) } }
      this.#names.set(sql, named)
    }
    named.uses += 1
    if (named.uses > named.renewAt) {
      named.options = { name: `${nameOf(sql)}_${named.renewAt}` }
      named.renewAt = named.renewAt < RENEW_LAST_AT ? named.renewAt * 10 : Infinity
    }
    return named.options
  }
}

const RENEW_FIRST_AT = 10
const RENEW_LAST_AT = 10_000 // a connection keeps those before until it ends

interface Named {
  uses: number
  renewAt: number
  options: Options
}

function nameOf (sql: string): string {
  return `fastify_tasks_${createHash('sha256').update(sql).digest('hex').slice(0, 24)}`
}
