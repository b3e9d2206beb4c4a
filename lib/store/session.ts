import { createHash } from 'node:crypto'
import { debuglog } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import type { Knex } from 'knex'
import type { Connections } from './connections.js'
import type { ColumnType, Dialect } from './dialects/dialect.js'
import type { Tables } from './tables.js'
import { Deadline } from './deadline.js'
import type { Clock } from '../core/clock.js'
import { breaksConstraint, breaksUniqueness, describeFault, faultOf, isForeignSession, leavesUnsure, refusesOptions } from './faults.js'
import { ownTransaction } from './own-transaction.js'
import { Pooled, type PooledConnection } from './pooled.js'
import { calling, type Procedure } from './procedures.js'
import { Sending, type How } from './sending.js'
import { STORE_UNAVAILABLE } from '../core/errors.js'
import { CALL_RETRY_MS } from '../core/limits.js'

// NODE_DEBUG=fastify-tasks shows the driver's own error, with the values of the statement: for development only.
const debug = debuglog('fastify-tasks')

type Records = Array<Record<string, unknown>>
type Bindings = readonly unknown[]

/** A text with its bindings. */
export type Statement = [sql: string, bindings: unknown[]]

/** Sends one statement, on whatever connection. `how` is heeded where statements may be prepared. */
export type Send = (sql: string, bindings?: Bindings, how?: Pick<How, 'plan'>) => Promise<Records>

/** Sends one statement on the connection of a transaction. */
export interface Run {
  (...statement: Parameters<Send>): Promise<Records>
  /** One whose rows are tuples; see `Dialect.tuple`. */
  tuples (...statement: Parameters<Send>): Promise<unknown[][]>
}

/** A transaction that its caller ends. */
export interface OpenTransaction {
  readonly transaction: Knex.Transaction
  /** Wait for a statement on it. @throws FST_TASKS_STORE_UNAVAILABLE, where no answer comes in time, too */
  answer: <T>(what: string, work: Promise<T>) => Promise<T>
}

/** `unsure`: an earlier try may have taken effect, its answer lost. */
export interface Told<T> { readonly value: T, readonly tries: number, readonly unsure: boolean }

/** Statements on their way to the database: which connection, how long, and what happens when it does not answer. */
export class Session {
  readonly tables: Tables
  /** Where PostgreSQL's notifications about these tables go. */
  readonly channel: string
  /** The database's own clock, whatever a test's says: what leases go by, since whether a process lives is no matter of a test's time. */
  readonly realNow: string
  #dialect: Dialect
  readonly #connections: Connections
  readonly #pooled: Pooled
  readonly #sending: Sending

  constructor (connections: Connections, dialect: Dialect, tables: Tables) {
    this.#connections = connections
    this.#pooled = new Pooled(connections.writer)
    this.#sending = new Sending(connections, this.#pooled, dialect)
    this.#dialect = dialect
    this.realNow = dialect.now
    this.tables = tables
    this.channel = channelOf(tables)
  }

  get callTimeoutMs (): number { return this.#connections.callTimeoutMs }

  /** True where statements may be prepared; else `plan: 'once'` has no effect. */
  get prepares (): boolean {
    return this.#connections.prepares
  }

  get dialect (): Dialect { return this.#dialect }

  /** A binding of a statement that is to be planned once: hidden from the planner where that is so. */
  unseen (type: ColumnType): string {
    return this.#dialect.value(type, this.sight)
  }

  /** How its sources bind what they have. */
  get sight (): 'unseen' | 'seen' {
    return this.prepares ? 'unseen' : 'seen'
  }

  /** For tests: `dialect.now` is the database's clock plus the offset. Where there is none, no statement is any different. */
  useClock (clock: Clock): void {
    const { realNow } = this
    this.#dialect = Object.freeze({ ...this.#dialect, get now () { return `(SELECT ${realNow} + ${Math.trunc(clock.offset)})` } })
  }

  /** A statement that changes nothing. `what` completes "could not …" in an error. */
  async read (what: string, sql: string, bindings: Bindings = [], how: How = {}): Promise<Records> {
    const { value } = await this.#persist(what, async (deadline) => await this.#sending.records(deadline, this.#connections.reader, sql, bindings, how))
    return value
  }

  /** One statement that writes. */
  async write (what: string, sql: string, bindings: Bindings = [], how: How = {}): Promise<{ rows: Records, tries: number, unsure: boolean }> {
    let text = sql
    const { value, tries, unsure } = await this.#persist(what, async (deadline) => await this.#connections.inTurn(async () => {
      const sent = text
      text = how.again ?? sql
      try {
        return await this.#sending.records(deadline, this.#connections.writer, sent, bindings, how)
      } catch (error) {
        if (sent === text || !breaksUniqueness(error)) throw error
        return await this.#sending.records(deadline, this.#connections.writer, text, bindings, how)
      }
    }))
    return { rows: value, tries, unsure }
  }

  /**
   * The same, of a statement that returns tuples. `earlier` is asked before another try, and answers for the one whose
   * answer was lost where it has any.
   */
  async writeTuples (what: string, sql: string, bindings: Bindings = [], how: How = {}, earlier?: readonly [sql: string, bindings: Bindings]): Promise<{ rows: unknown[][], tries: number }> {
    let sent = false
    const { value, tries } = await this.#persist(what, async (deadline) => await this.#connections.inTurn(async () => {
      const done = sent && earlier !== undefined ? await this.#sending.tuples(deadline, this.#connections.writer, ...earlier, {}) : []
      sent = true
      return done.length > 0 ? done : await this.#sending.tuples(deadline, this.#connections.writer, sql, bindings, how)
    }))
    return { rows: value, tries }
  }

  /** True where the connections have the procedures (procedures.ts). */
  get hasProcedures (): boolean { return this.#connections.definitions.begin.length > 0 }

  /** To stand behind `INSERT INTO` in a call. */
  procedure (procedure: Procedure): string { return calling(this.tables, procedure) }

  /**
   * Call a procedure. `rows` is null where it refused: nothing is changed then, and statement by statement it will be
   * seen why.
   */
  async call (what: string, sql: string, bindings: Bindings): Promise<{ rows: Records | null, tries: number }> {
    const { value, tries } = await this.#persist(what, async (deadline) => await this.#connections.inTurn(async () => {
      try {
        return await this.#sending.records(deadline, this.#connections.writer, sql, bindings, {})
      } catch (error) {
        if (breaksConstraint(error)) return null
        throw error
      }
    }, 'beside'))
    return { rows: value, tries }
  }

  /** Several statements, the first of which writes, in a short transaction. Run again as a whole after a passing fault. */
  async transact<T> (what: string, fn: (run: Run) => Promise<T>): Promise<Told<T>> {
    const { inTurn, writer, wireOf } = this.#connections
    const wire = wireOf(writer)
    if (wire === null) {
      return await this.transaction(what, async (trx) => {
        if (this.dialect.openShort !== '') await trx.raw(this.dialect.openShort)
        return await fn(this.inside(trx))
      })
    }
    return await this.#persist(what, async (deadline) => await inTurn(async () => await this.#sending.with(deadline, writer, async (connection) => await ownTransaction(connection, { wire, dialect: this.dialect, sending: this.#sending }, fn))))
  }

  /** The same, with the transaction itself and a time for the whole of it. */
  async transaction<T> (what: string, fn: (transaction: Knex.Transaction) => Promise<T>, timeoutMs = this.#connections.callTimeoutMs): Promise<Told<T>> {
    const { inTurn, writer } = this.#connections
    const whole = async (connection?: PooledConnection): Promise<T> => await writer.transaction(fn, connection === undefined ? {} : { connection })
    // The time includes BEGIN and COMMIT: so the connection is taken here, and not by Knex.
    return await this.#persist(what, async (deadline) => await inTurn(async () => this.dialect.singleWriter ? await whole() : await this.#pooled.use(deadline, whole)), timeoutMs)
  }

  /** A transaction that its caller ends. It is begun within the time of a call. */
  async begin (what: string): Promise<OpenTransaction> {
    const { value } = await this.#persist(what, async (deadline) => await this.#begin(deadline))
    return value
  }

  /** Something of more than statements, run again as a whole after a passing fault. Its waits are its own affair. */
  async again<T> (what: string, fn: () => Promise<T>): Promise<T> {
    return (await this.#persist(what, fn)).value
  }

  /** Rows `r` of a table that fit, by a sample of it; null where the database takes none. */
  async estimate (table: string, condition: string, bindings: readonly unknown[]): Promise<number | null> {
    const { value } = await this.#persist('estimate', async (deadline) => {
      return await this.dialect.estimate(async (text, values) => await this.#sending.records(deadline, this.#connections.reader, text, values ?? [], {}), table, condition, bindings)
    })
    return value
  }

  /**
   * Statements inside somebody's transaction: sent once, since a failure has spoilt the transaction; so none is prepared, which
   * a pooler in front may refuse.
   */
  inside (transaction: Knex.Transaction): Run {
    const { dialect } = this
    const send = (sql: string, bindings: Bindings = []): Knex.Raw => transaction.raw(sql, bindings as Knex.RawBinding[])
    const run = async (sql: string, bindings?: Bindings): Promise<Records> => dialect.rowsOf(await send(sql, bindings))
    const tuples = async (sql: string, bindings?: Bindings): Promise<unknown[][]> => dialect.tuplesOf(await send(sql, bindings).options(dialect.tupleOptions))
    return Object.assign(run, { tuples })
  }

  /**
   * The same, with errors that may be shown and a time in which it ends: for a transaction that is not of our making.
   * Where the time is over its connection is destroyed, and the transaction with it: an answer is still to come on it.
   */
  async within<T> (what: string, transaction: Knex.Transaction, fn: (run: Run) => Promise<T>): Promise<T> {
    try {
      const answered = fn(this.inside(transaction))
      if (this.dialect.singleWriter) return await answered
      return await this.#pooled.answer(new Deadline(this.#connections.callTimeoutMs), await transaction.client.acquireConnection() as PooledConnection, answered)
    } catch (error) {
      throw storeError(what, error)
    }
  }

  async #persist<T> (what: string, send: (deadline: Deadline) => Promise<T>, timeoutMs = this.#connections.callTimeoutMs): Promise<Told<T>> {
    const deadline = new Deadline(timeoutMs)
    // A try that begins late would have no time of its own.
    const lastTry = performance.now() + Math.min(CALL_RETRY_MS, deadline.left)
    let unsure = false
    for (let tries = 1; ; tries++) {
      try {
        this.#connections.verify()
        return { value: await send(deadline), tries, unsure }
      } catch (error) {
        unsure ||= leavesUnsure(error)
        const pause = Math.min(1_000, 10 * 2 ** tries) * (0.5 + Math.random())
        const again = this.#passes(error) && !this.#connections.closed && performance.now() + pause < lastTry
        if (!again) throw storeError(what, error, unsure)
        await delay(pause)
      }
    }
  }

  #passes (error: unknown): boolean {
    const pooler = isForeignSession(error) || (this.#connections.hasSettings && refusesOptions(error))
    if (pooler) this.#connections.doWithoutSession()
    return pooler || faultOf(error) === 'transient'
  }

  async #begin (deadline: Deadline): Promise<OpenTransaction> {
    const { writer, enter } = this.#connections
    const leave = await enter()
    let connection: PooledConnection | null = null
    const end = (): void => {
      if (connection !== null) void this.#pooled.release(connection)
      leave()
    }
    try {
      if (!this.dialect.singleWriter) connection = await this.#pooled.take(deadline)
      const begun = writer.transaction(undefined, connection === null ? {} : { connection }) as Promise<Knex.Transaction>
      const transaction = connection === null ? await begun : await this.#pooled.answer(deadline, connection, begun)
      // Settles however it ends, also by a commit or rollback of the caller's own.
      transaction.executionPromise.then(end, end)
      return { transaction, answer: async (what, work) => await this.within(what, transaction, async () => await work) }
    } catch (error) {
      end()
      throw error
    }
  }
}

// A hash, because a channel's name is at most 63 bytes and a schema's may be as long.
function channelOf ({ schema, prefix }: Tables): string {
  return `fastify_tasks_${createHash('sha256').update(`${schema ?? ''}.${prefix}`).digest('hex').slice(0, 16)}`
}

/** A driver's error as one that may be shown. Typed errors of ours pass. */
export function storeError (what: string, error: unknown, unsure = leavesUnsure(error)): Error {
  if (error instanceof Error && typeof (error as { code?: unknown }).code === 'string' && (error as Error & { code: string }).code.startsWith('FST_')) return error
  if (faultOf(error) === 'permanent') debug('could not %s: %O', what, error)
  // `fault`: whoever sent several rows in one statement learns whether one of them may be to blame. `unsure`: it may have
  // taken effect all the same.
  return Object.defineProperties(new STORE_UNAVAILABLE(what, describeFault(error)), { fault: { value: faultOf(error) }, unsure: { value: unsure } })
}
