import { sendPrepared, type Sqlite3Database } from './prepared.js'

/**
 * Sends statements on a connection of our own, straight through its driver: Knex keeps the pool, and need not take part
 * in every statement. (To make a query of a text takes Knex about as long as the database takes to answer it.)
 */
export interface Wire {
  /** Resolves as `knex.raw` does. `bindings` stand for the question marks of `sql`. */
  send (connection: unknown, sql: string, bindings: readonly unknown[], options: SendOptions): Promise<unknown>
  /** Begins a transaction that will write. */
  readonly begin: string
}

export interface SendOptions {
  /** To prepare it under. */
  readonly name?: string
  readonly rowMode?: string
}

/** @param client - name of a driver, as in Knex's configuration */
export function wireOf (client: 'pg' | 'sqlite3' | 'better-sqlite3'): Wire {
  switch (client) {
    case 'pg': return PG
    case 'sqlite3': return SQLITE3
    case 'better-sqlite3': return BETTER_SQLITE3
  }
}

interface PgClient { query (config: object): Promise<unknown> }

const PG: Wire = Object.freeze({
  begin: 'BEGIN',
  async send (connection: unknown, sql: string, bindings: readonly unknown[], options: SendOptions) {
    return await (connection as PgClient).query({ text: numbered(sql), values: bindings, ...options })
  }
})

const texts = new Map<string, string>()
const TEXTS_MAX = 1_000 // of ours there are fewer; a bound all the same

/** With PostgreSQL's parameters. */
function numbered (sql: string): string {
  const known = texts.get(sql)
  if (known !== undefined) return known
  let last = 0
  const text = sql.replace(/\?/g, () => `$${++last}`)
  if (texts.size < TEXTS_MAX) texts.set(sql, text)
  return text
}

// IMMEDIATE: a transaction that reads first and writes later could be refused (SQLITE_BUSY_SNAPSHOT), however long it waits.
const SQLITE3: Wire = Object.freeze({
  begin: 'BEGIN IMMEDIATE',
  async send (connection: unknown, sql: string, bindings: readonly unknown[]) {
    return await new Promise((resolve, reject) => {
      sendPrepared(connection as Sqlite3Database, sql, bindings, (error, rows) => { if (error === null) resolve(rows); else reject(error) })
    })
  }
})

interface BetterSqlite3Statement { reader: boolean, all (bindings: unknown[]): unknown, run (bindings: unknown[]): unknown }
interface BetterSqlite3Database { prepare (sql: string): BetterSqlite3Statement }

const BETTER_SQLITE3: Wire = Object.freeze({
  begin: 'BEGIN IMMEDIATE',
  async send (connection: unknown, sql: string, bindings: readonly unknown[]) {
    const statement = compiled(connection as BetterSqlite3Database, sql)
    const bound = bindings.map((value) => typeof value === 'boolean' ? Number(value) : value)
    return statement.reader ? statement.all(bound) : statement.run(bound)
  }
})

const statements = new WeakMap<BetterSqlite3Database, Map<string, BetterSqlite3Statement>>()

/** Once a connection: it takes about as long as to run a small one. */
function compiled (connection: BetterSqlite3Database, sql: string): BetterSqlite3Statement {
  let known = statements.get(connection)
  if (known === undefined) statements.set(connection, known = new Map())
  let statement = known.get(sql)
  if (statement === undefined) {
    statement = connection.prepare(sql)
    if (known.size < TEXTS_MAX) known.set(sql, statement)
  }
  return statement
}
