import { createHash } from 'node:crypto'
import { debuglog } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import type { Knex } from 'knex'
import type { Connections } from './connections.js'
import type { Dialect } from './dialects/dialect.js'
import type { Tables } from './tables.js'
import { describeFault, faultOf, isForeignSession, refusesOptions } from './faults.js'
import { STORE_UNAVAILABLE } from '../core/errors.js'
import { CALL_RETRY_MS, CALL_TIMEOUT_MS } from '../core/limits.js'

// NODE_DEBUG=fastify-tasks shows the driver's own error, with the values of the statement: for development only.
const debug = debuglog('fastify-tasks')

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
}

/** Sends one statement, on whatever connection. */
export type Send = (sql: string, bindings?: Bindings) => Promise<Records>

/** Sends one statement on the connection of a transaction. */
export interface Run {
  (sql: string, bindings?: Bindings): Promise<Records>
  /** One whose rows are tuples; see `Dialect.tuple`. */
  tuples (sql: string, bindings?: Bindings): Promise<unknown[][]>
}

/** Statements on their way to the database: which connection, how long, and what happens when it does not answer. */
export class Session {
  readonly dialect: Dialect
  readonly tables: Tables
  /** Where PostgreSQL's notifications about these tables go. */
  readonly channel: string
  readonly #connections: Connections
  /** By text. Each verb has a few texts at most, whatever it is asked for. */
  readonly #names = new Map<string, Options>()

  constructor (connections: Connections, dialect: Dialect, tables: Tables) {
    this.#connections = connections
    this.dialect = dialect
    this.tables = tables
    this.channel = channelOf(tables)
  }

  /** A statement that changes nothing. `what` completes "could not …" in an error. */
  async read (what: string, sql: string, bindings: Bindings = [], how: How = {}): Promise<Records> {
    const { value } = await this.#persist(what, async () => await this.#send(this.#connections.reader, sql, bindings, how))
    return value
  }

  /** One statement that writes. `tries` above 1: an earlier try may have taken effect, its answer lost. */
  async write (what: string, sql: string, bindings: Bindings = [], how: How = {}): Promise<{ rows: Records, tries: number }> {
    const { value, tries } = await this.#persist(what, async () => await this.#connections.inTurn(async () => await this.#send(this.#connections.writer, sql, bindings, how)))
    return { rows: value, tries }
  }

  /**
   * The same, of a statement that returns tuples. `earlier` is asked before another try, and answers for the one whose
   * answer was lost where it has any.
   */
  async writeTuples (what: string, sql: string, bindings: Bindings = [], how: How = {}, earlier?: readonly [sql: string, bindings: Bindings]): Promise<{ rows: unknown[][], tries: number }> {
    let sent = false
    const { value, tries } = await this.#persist(what, async () => await this.#connections.inTurn(async () => {
      const done = sent && earlier !== undefined ? await this.#sendForTuples(this.#connections.writer, ...earlier, {}) : []
      sent = true
      return done.length > 0 ? done : await this.#sendForTuples(this.#connections.writer, sql, bindings, how)
    }))
    return { rows: value, tries }
  }

  /** Several statements, the first of which writes, in a short transaction. Run again as a whole after a passing fault. */
  async transact<T> (what: string, fn: (run: Run) => Promise<T>): Promise<{ value: T, tries: number }> {
    return await this.#persist(what, async () => await this.#connections.inTurn(async () => {
      return await this.#connections.writer.transaction(async (trx) => await this.#before(await trx.client.acquireConnection(), async () => await fn(this.inside(trx))))
    }))
  }

  /** Something of more than statements, run again as a whole after a passing fault. */
  async again<T> (what: string, fn: () => Promise<T>): Promise<T> {
    return (await this.#persist(what, fn)).value
  }

  /** Rows that a query would give, by the planner; null where the database cannot say. */
  async estimate (sql: string, bindings: readonly unknown[]): Promise<number | null> {
    const { value } = await this.#persist('estimate', async () => await this.dialect.estimate(this.#connections.reader, sql, bindings))
    return value
  }

  /** Statements inside somebody's transaction: sent once, since a failure has spoilt the transaction. */
  inside (transaction: Knex.Transaction): Run {
    const { dialect } = this
    const send = (sql: string, bindings: Bindings = []): Knex.Raw => transaction.raw(sql, bindings as Knex.RawBinding[])
    const run = async (sql: string, bindings?: Bindings): Promise<Records> => dialect.rowsOf(await send(sql, bindings))
    const tuples = async (sql: string, bindings?: Bindings): Promise<unknown[][]> => dialect.tuplesOf(await send(sql, bindings).options(dialect.tupleOptions))
    return Object.assign(run, { tuples })
  }

  /** The same, with errors that may be shown: for a transaction that is not of our making. */
  async within<T> (what: string, transaction: Knex.Transaction, fn: (run: Run) => Promise<T>): Promise<T> {
    try {
      return await fn(this.inside(transaction))
    } catch (error) {
      throw storeError(what, error)
    }
  }

  async #persist<T> (what: string, send: () => Promise<T>): Promise<{ value: T, tries: number }> {
    const deadline = performance.now() + CALL_RETRY_MS
    for (let tries = 1; ; tries++) {
      try {
        return { value: await send(), tries }
      } catch (error) {
        const pause = Math.min(1_000, 10 * 2 ** tries) * (0.5 + Math.random())
        const again = faultOf(error) === 'transient' && !this.#connections.closed && performance.now() + pause < deadline
        if (!again) throw storeError(what, error)
        await delay(pause)
      }
    }
  }

  async #send (knex: Knex, sql: string, bindings: Bindings, how: How): Promise<Records> {
    return this.dialect.rowsOf(await this.#query(knex, sql, bindings, how))
  }

  async #sendForTuples (knex: Knex, sql: string, bindings: Bindings, how: How): Promise<unknown[][]> {
    return this.dialect.tuplesOf(await this.#query(knex, sql, bindings, how, this.dialect.tupleOptions))
  }

  async #query (knex: Knex, sql: string, bindings: Bindings, { plan }: How, options?: Options): Promise<unknown> {
    const named = plan === 'once' ? this.#named(sql) : NO_OPTIONS
    const query = knex.raw(sql, bindings as Knex.RawBinding[]).options(options === undefined ? named : { ...named, ...options })
    if (this.dialect.singleWriter) return await query
    try {
      const connection = await knex.client.acquireConnection()
      try {
        return await this.#before(connection, async () => await query.connection(connection))
      } finally {
        await knex.client.releaseConnection(connection)
      }
    } catch (error) {
      if (isForeignSession(error) || refusesOptions(error)) this.#connections.doWithoutSession()
      throw error
    }
  }

  /** The name to prepare a statement under: parsed and planned once a connection. */
  #named (sql: string): Options {
    if (!this.#connections.prepares) return NO_OPTIONS
    let options = this.#names.get(sql)
    if (options === undefined) {
      options = { name: `fastify_tasks_${createHash('sha256').update(sql).digest('hex').slice(0, 24)}` }
      this.#names.set(sql, options)
    }
    return options
  }

  // A socket may be half open: nothing answers, nothing fails. Destroying it rejects the query and has the pool drop it.
  // (SQLite has no socket, and its waits end by busy_timeout.)
  async #before<T> (connection: { connection?: { stream?: { destroy (): void } } }, answer: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => connection.connection?.stream?.destroy(), CALL_TIMEOUT_MS)
    try {
      return await answer()
    } finally {
      clearTimeout(timer)
    }
  }
}

// A hash, because a channel's name is at most 63 bytes and a schema's may be as long.
function channelOf ({ schema, prefix }: Tables): string {
  return `fastify_tasks_${createHash('sha256').update(`${schema ?? ''}.${prefix}`).digest('hex').slice(0, 16)}`
}

/** A driver's error as one that may be shown. Typed errors of ours pass. */
export function storeError (what: string, error: unknown): Error {
  if (error instanceof Error && typeof (error as { code?: unknown }).code === 'string' && (error as Error & { code: string }).code.startsWith('FST_')) return error
  if (faultOf(error) === 'permanent') debug('could not %s: %O', what, error)
  // `fault`: whoever sent several rows in one statement learns whether one of them may be to blame.
  return Object.defineProperty(new STORE_UNAVAILABLE(what, describeFault(error)), 'fault', { value: faultOf(error) })
}
