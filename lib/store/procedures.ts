import { charsOf } from './chars.js'
import type { Dialect, PairSource } from './dialects/dialect.js'
import type { Tables } from './tables.js'

/**
 * Several writes as one statement of SQLite, which is all or nothing by itself: a view of the connection's own whose
 * trigger does them for each row that is inserted. A transaction of as many statements is five calls of the driver or
 * more; after each of them the file's only write lock waits until the event loop has time.
 */
export interface Procedure {
  readonly name: string
  /** What it is given. `RETURNING` may name them. */
  readonly columns: readonly string[]
  /** Statements on the columns of `NEW`: without CTEs and bindings, and without another name for the table that is changed. */
  body (tables: Tables, dialect: Dialect): string
}

/** What a connection runs, so that it has these procedures. Their tables need not be there yet. */
export function defining (tables: Tables, dialect: Dialect, procedures: readonly Procedure[]): string[] {
  return procedures.flatMap((procedure) => [
    `CREATE TEMP VIEW ${viewOf(tables, procedure)} AS SELECT ${procedure.columns.map((column) => `NULL AS ${column}`).join(', ')}`,
    `CREATE TEMP TRIGGER ${viewOf(tables, procedure)} INSTEAD OF INSERT ON ${viewOf(tables, procedure)} BEGIN ${procedure.body(tables, dialect)} END`
  ])
}

/** What it runs to be rid of them: SQLite alters no table while a trigger names one that is not there. */
export function forgetting (tables: Tables, procedures: readonly Procedure[]): string[] {
  return procedures.map((procedure) => `DROP VIEW IF EXISTS temp.${viewOf(tables, procedure)}`)
}

/** What to insert into. */
export function calling (tables: Tables, procedure: Procedure): string {
  return `temp.${viewOf(tables, procedure)} (${procedure.columns.join(', ')})`
}

export const CALL_CHARS_MAX = 500_000 // what is given to a view is copied more than once: beyond this, statements by themselves are faster

/** True where a call is possible, and worth it for what it is given. */
export function isCallable ({ hasProcedures }: { readonly hasProcedures: boolean }, given: readonly unknown[]): boolean {
  return hasProcedures && charsOf(given) <= CALL_CHARS_MAX
}

/** A source of rows that the procedure is given in one of its columns. */
export function fromColumn ({ sql }: PairSource, column: string): string {
  return sql.replace('?', `NEW.${column}`)
}

/** To stand behind a write: the call refuses, and has changed nothing, unless so many rows were. */
export function refuseUnless (rows: string): string {
  return `SELECT RAISE(ABORT, 'refused') WHERE changes() <> ${rows}`
}

// With blanks, which no name of an app's own table has: in its transactions on our connection the view would hide that.
function viewOf (tables: Tables, { name }: Procedure): string {
  return tables.index(` call of ${name}`)
}
