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
const KEPT_CHARS_MAX = 1_000_000 // of a connection: what was bound to a statement stays in memory until its next time

/**
 * Send a statement that stays prepared on its connection: to compile one, and to make its object, takes about as long as
 * to run a small one, and once more until the event loop has time.
 */
export function sendPrepared (connection: Sqlite3Database, sql: string, bindings: readonly unknown[], done: (error: Error | null, rows: unknown) => void): void {
  const kept = prepared.get(connection)
  const one = kept === undefined ? null : kept.take(connection, sql, lengthOf(bindings), done)
  if (one === null) connection.all(sql, bindings, done)
  else one.all(bindings, done)
}

const prepared = new WeakMap<Sqlite3Database, Kept>()

/** Keep statements of this connection prepared until it is closed, which node-sqlite3 refuses while there are any. */
export function keepPrepared (connection: Sqlite3Database): void {
  const kept = new Kept()
  prepared.set(connection, kept)
  const close = connection.close.bind(connection)
  connection.close = (done) => {
    prepared.delete(connection)
    kept.finalize(() => { close(done) })
  }
}

interface One { readonly statement: Sqlite3Statement, chars: number }

/** Statements of one connection, by their text. */
class Kept {
  readonly #statements = new Map<string, One>()
  #chars = 0

  /** The statement of a text, to which so many characters will be bound; null where it is not to be kept. */
  take (connection: Sqlite3Database, sql: string, chars: number, done: (error: Error, rows: undefined) => void): Sqlite3Statement | null {
    let one = this.#statements.get(sql)
    if (this.#chars - (one?.chars ?? 0) + chars > KEPT_CHARS_MAX) return null
    if (one === undefined) {
      if (this.#statements.size >= STATEMENTS_MAX) return null
      one = this.#prepare(connection, sql, done)
    }
    this.#chars += chars - one.chars
    one.chars = chars
    return one.statement
  }

  #prepare (connection: Sqlite3Database, sql: string, done: (error: Error, rows: undefined) => void): One {
    const one: One = {
      chars: 0,
      statement: connection.prepare(sql, (error) => {
        if (error === null) return
        this.#statements.delete(sql)
        this.#chars -= one.chars
        done(error, undefined) // that of the statement below says only that there is none
      })
    }
    this.#statements.set(sql, one)
    return one
  }

  finalize (done: () => void): void {
    const last = [...this.#statements.values()]
    let left = last.length
    if (left === 0) done()
    for (const { statement } of last) statement.finalize(() => { if (--left === 0) done() })
  }
}

function lengthOf (bindings: readonly unknown[]): number {
  let length = 0
  for (const value of bindings) if (typeof value === 'string') length += value.length
  return length
}
