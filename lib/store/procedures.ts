import type { Dialect, RowSource } from './dialects/dialect.js'
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
  /** Statements on the columns of `NEW`. A trigger takes no aliases, no CTEs and no bindings. */
  body (tables: Tables, dialect: Dialect): string
}

/** What a connection runs once, so that it has these procedures. Their tables need not be there yet. */
export function defining (tables: Tables, dialect: Dialect, procedures: readonly Procedure[]): string[] {
  return procedures.flatMap((procedure) => [
    `CREATE TEMP VIEW ${viewOf(tables, procedure)} AS SELECT ${procedure.columns.map((column) => `NULL AS ${column}`).join(', ')}`,
    `CREATE TEMP TRIGGER ${tables.index(`${procedure.name}_call`)} INSTEAD OF INSERT ON ${viewOf(tables, procedure)} BEGIN ${procedure.body(tables, dialect)} END`
  ])
}

/** What to insert into. */
export function calling (tables: Tables, procedure: Procedure): string {
  return `temp.${viewOf(tables, procedure)} (${procedure.columns.join(', ')})`
}

/** A source of rows that the procedure is given in one of its columns. */
export function fromColumn ({ sql }: RowSource, column: string): string {
  return sql.replace('?', `NEW.${column}`)
}

/** To stand behind a write: the call refuses, and has changed nothing, unless so many rows were. */
export function refuseUnless (rows: string): string {
  return `SELECT RAISE(ABORT, 'refused') WHERE changes() <> ${rows}`
}

function viewOf (tables: Tables, { name }: Procedure): string {
  return tables.index(name)
}
