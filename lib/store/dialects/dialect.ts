import type { Knex } from 'knex'
import type { Send } from '../session.js'

/**
 * What differs between databases, as small pieces of SQL and the handling of connections. Everything that is the same
 * on both stands once, in `verbs/`. Another database comes in by another file like `postgres.ts` and `sqlite.ts`.
 */
export interface Dialect {
  readonly name: 'sqlite' | 'postgres'
  /** The database's clock in epoch milliseconds, as a scalar that an index scan can use. */
  readonly now: string
  /** By what leases are counted, now. */
  leaseClock (): LeaseClock
  /** True where one statement may change rows in several CTEs. */
  readonly writesInCtes: boolean
  /** True where only one transaction at a time can write. */
  readonly singleWriter: boolean
  /** True where an index keeps the entries of rows that are gone until they are vacuumed. */
  readonly deadEntries: boolean
  /** Rows that a row lock protects from other claimers; empty where one writer makes it needless. */
  readonly skipLocked: string

  /** A condition that a column is one of a list of values bound by `list`. */
  isIn (column: string, type: ColumnType, sight?: 'unseen' | 'seen'): string
  list (values: readonly unknown[]): unknown
  /**
   * A condition that a column is one of what a query finds, which is run once. In a join PostgreSQL may run it again for
   * each row: with LIMIT and SKIP LOCKED it then finds other rows each time.
   */
  isAmong (column: string, query: string): string

  /**
   * A table source of many rows with columns `ord` (from 0) and those named, bound by `bind`: one statement text whatever
   * the number of rows. `unseen`: the planner does not look at what is bound.
   */
  rows (columns: ReadonlyArray<readonly [name: string, type: ColumnType]>, sight?: 'unseen' | 'seen'): RowSource

  /** A table source of many pairs of an id and a text, with columns of these names, in the order given. The texts are not empty. */
  pairs (id: string, text: string, sight: 'unseen' | 'seen'): PairSource

  /**
   * One value. `unseen` is for statements that are to be planned once: the planner would think a plan for just these values
   * cheaper, and so make one each time, which takes several times as long as the statement.
   */
  value (type: ColumnType, sight: 'unseen' | 'seen'): string

  /** To be joined to the table of a column that holds a list of ids: one row an id. */
  elements (column: string): { readonly from: string, readonly id: string }

  /** To be joined to ids (`c`): the row (`r`) of each, looked up one by one. Ends where more conditions may follow. */
  lookUp (table: string): string

  /** JSON text of an object with these keys and SQL values. */
  jsonObject (entries: ReadonlyArray<readonly [key: string, sql: string]>): string
  /** A text that is a JSON array, without its first element where it has as many as this. */
  room (text: string, max: number): string
  /** The ids of a set in the order given, as a column holds them that `elements` reads. */
  ids (id: string, order: string): string
  /** The same of values, to be bound. */
  idList (ids: readonly string[]): unknown
  /** The same as it was read. */
  idsOf (value: unknown): string[]
  /** All but the last character of a text. */
  dropLast (text: string): string

  /** Names of the version that the server runs, checked. @throws FST_TASKS_DATABASE_VERSION */
  checkVersion (send: Send): Promise<void>
  /** Run inside the transaction that migrates, so that one process does. */
  lockMigrations (trx: Knex.Transaction, key: string): Promise<void>
  /** First statement of a transaction that will write: takes what a later write would have to wait for. Empty for none. */
  readonly beginWrite: (table: string) => string
  /**
   * What follows the BEGIN of a short transaction: each statement sees what was committed before it, and the server ends the
   * transaction should its process stand still in the middle. Empty for none.
   */
  readonly openShort: string
  /** Rows of a raw result. */
  rowsOf (result: unknown): Array<Record<string, unknown>>
  /**
   * A list to select or return of many columns, and how its rows are read: as arrays in that order. A driver makes an
   * object with a property a column out of each row, which costs more than all else that a claim does.
   */
  tuple (columns: readonly string[]): string
  /** To be selected in place of it: all rows of a query, in whatever comes out of the driver fastest. */
  tuples (columns: readonly string[]): string
  tuplesOf (result: unknown): unknown[][]
  /** Options of a raw query whose rows are tuples. */
  readonly tupleOptions: Readonly<Record<string, unknown>>
  /** How many rows `r` of a table fit a condition, by a sample of it; null where the database takes none. */
  estimate (send: Send, table: string, condition: string, bindings: readonly unknown[]): Promise<number | null>
}

/**
 * The clock of leases. It is the database's own, except where that is the host's: one that somebody sets, or that jumps,
 * would end every lease at once. There it is the host's monotonic clock, which all processes on the file share.
 */
export interface LeaseClock {
  /** Milliseconds, as a scalar; its value is bound by `bound`. */
  readonly now: string
  readonly bound: readonly unknown[]
  /** A condition that the lease of a row of workers has run out, bound by `expiredBound`. */
  expired (worker: string): string
  readonly expiredBound: readonly unknown[]
}

export type ColumnType = 'text' | 'uuid' | 'int' | 'bigint' | 'boolean'

export interface PairSource {
  readonly sql: string
  /** As many ids, which are UUIDs, as texts. */
  bind (ids: readonly string[], texts: readonly string[]): unknown[]
}

export interface RowSource {
  readonly sql: string
  bind (rows: ReadonlyArray<readonly unknown[]>): unknown[]
}
