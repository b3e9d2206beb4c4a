/** A statement of node-sqlite3. */
export interface Sqlite3Statement {
  all (bindings: readonly unknown[], done: (error: Error | null, rows: unknown) => void): void
  finalize (done: () => void): void
}

export interface Sqlite3Database {
  all (sql: string, bindings: readonly unknown[], done: (error: Error | null, rows: unknown) => void): void
  prepare (sql: string, done: (error: Error | null) => void): Sqlite3Statement
  close (done: (error: Error | null) => void): void
}

const STATEMENTS_MAX = 200 // of a connection; we have fewer texts
const KEPT_CHARS_MAX = 16_384 // what was bound stays in memory until the next time

/**
 * Send a statement that stays prepared on its connection: to compile one, and to make its object, takes about as long as
 * to run a small one. Not where much is bound, which then takes longer than that.
 */
export function sendPrepared (connection: Sqlite3Database, sql: string, bindings: readonly unknown[], done: (error: Error | null, rows: unknown) => void): void {
  const statements = prepared.get(connection)
  if (statements === undefined || bindings.some((value) => typeof value === 'string' && value.length > KEPT_CHARS_MAX)) {
    connection.all(sql, bindings, done)
    return
  }
  let statement = statements.get(sql)
  if (statement === undefined) {
    if (statements.size >= STATEMENTS_MAX) {
      connection.all(sql, bindings, done)
      return
    }
    statement = connection.prepare(sql, (error) => {
      if (error === null) return
      statements.delete(sql)
      done(error, undefined) // that of the statement below says only that there is none
    })
    statements.set(sql, statement)
  }
  statement.all(bindings, done)
}

const prepared = new WeakMap<Sqlite3Database, Map<string, Sqlite3Statement>>()

/** Keep statements of this connection prepared until it is closed, which node-sqlite3 refuses while there are any. */
export function keepPrepared (connection: Sqlite3Database): void {
  const statements = new Map<string, Sqlite3Statement>()
  prepared.set(connection, statements)
  const close = connection.close.bind(connection)
  connection.close = (done) => {
    prepared.delete(connection)
    const last = [...statements.values()]
    let left = last.length
    if (left === 0) close(done)
    for (const statement of last) statement.finalize(() => { if (--left === 0) close(done) })
  }
}
