import { statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import type { Knex } from 'knex'
import { MEMORY, parseUrl, type StoreConfig } from './config.js'
import { postgres } from './dialects/postgres.js'
import { sqlite } from './dialects/sqlite.js'
import type { Dialect } from './dialects/dialect.js'
import { FileMoved } from './faults.js'
import { newKnex } from './load-knex.js'
import { keepPrepared, type Sqlite3Database } from './prepared.js'
import { SharedConnection } from './shared-connection.js'
import { wireOf, type Wire } from './wire.js'
import { WriterQueue, writerQueueOf } from './writer-queue.js'
import { DRIVER_MISSING, INVALID_CONFIG } from '../core/errors.js'
import { CALL_TIMEOUT_MS, SQLITE_BUSY_TIMEOUT_MS } from '../core/limits.js'

const require = createRequire(import.meta.url)

// Knex would print what goes wrong with a connection, in a driver's words and to stdout, besides throwing it.
const SILENT = { warn () {}, error () {}, deprecate () {}, debug () {} }

/**
 * The connections of one store. A SQLite file has a writer (one connection) and a reader, so that readers go on while a
 * transaction writes; everywhere else both are the same Knex instance.
 */
export interface Connections {
  readonly dialect: Dialect
  readonly writer: Knex
  readonly reader: Knex
  /** How statements go over connections of our own; null for a Knex instance of the app's, whose listeners are to see them. */
  wireOf (knex: Knex): Wire | null
  /** The SQLite file; null for memory and for PostgreSQL. */
  readonly file: string | null
  /** True where no statement can be sent while a transaction is open on this store. */
  readonly single: boolean
  readonly closed: boolean
  /** True where statements may be prepared under a name: on connections of our own, with settings of our own. */
  readonly prepares: boolean
  /** What a connection that writes begins with, and what undoes it; nothing where it is not of our making, or not SQLite. */
  readonly definitions: Definitions
  /** True where a new connection begins with settings of our own, which a pooler or a server may refuse. */
  readonly hasSettings: boolean
  /** What a call may take in all, in ms. */
  readonly callTimeoutMs: number
  /** Do without names and settings: there is a transaction pooler in front, which shares sessions. */
  doWithoutSession (): void
  /** @throws FileMoved where the SQLite file is not the one that was opened */
  verify (): void
  /** Run when it is this writer's turn. `beside`: a call of a procedure, where the connection is shared. */
  inTurn<T> (write: () => Promise<T>, how?: 'alone' | 'beside'): Promise<T>
  /** The one connection that writes, for calls; null where each has its own, or a reader needs it too. */
  readonly shared: SharedConnection | null
  /** Take the turn; the function gives it up. */
  enter (): Promise<() => void>
  close (): Promise<void>
}

/** Statements. */
export interface Definitions { readonly begin: readonly string[], readonly end: readonly string[] }

const NONE: Definitions = Object.freeze({ begin: [], end: [] })

/**
 * @param definitions - for connections of our own to SQLite
 * @throws FST_TASKS_INVALID_CONFIG, FST_TASKS_DRIVER_MISSING
 */
export function connect (config: StoreConfig, definitions: Definitions): Connections {
  if (config.knex !== undefined) return connectTo(config.knex, config)
  const location = parseUrl(config.url ?? '')
  if (location.kind === 'postgres') {
    requireDriver('PostgreSQL', ['pg'])
    return build({ dialect: postgres, writer: openPostgres(location.url, timeoutOf(config)), owned: true }, config)
  }
  refuseSchema(config)
  const client = requireDriver('SQLite', ['sqlite3', 'better-sqlite3'])
  const writer = openSqlite(client, location.path, timeoutOf(config), definitions.begin)
  return build({ dialect: sqlite, writer, owned: true, file: location.path, client, definitions }, config)
}

function connectTo (knex: Knex, config: StoreConfig): Connections {
  const client = String(knex.client.config.client?.prototype?.driverName ?? knex.client.driverName)
  if (client === 'pg') return build({ dialect: postgres, writer: knex, owned: false }, config)
  if (client !== 'sqlite3' && client !== 'better-sqlite3') throw new INVALID_CONFIG('knex', `its client is '${client}'; it must be pg, sqlite3 or better-sqlite3`)
  refuseSchema(config)
  const { connection } = knex.client.config
  const filename = typeof connection === 'string' ? connection : connection?.filename
  const file = typeof filename === 'string' && filename !== MEMORY && !filename.startsWith('file:') && filename !== '' ? resolve(filename) : MEMORY
  return build({ dialect: sqlite, writer: knex, owned: false, file, client }, config)
}

function refuseSchema ({ schema }: StoreConfig): void {
  if (schema !== undefined) throw new INVALID_CONFIG('schema (TASKS_SCHEMA)', 'a SQLite file has no schemas. Leave it out, or tell tables apart by tablePrefix (TASKS_TABLE_PREFIX)')
}

interface Parts { dialect: Dialect, writer: Knex, owned: boolean, file?: string, client?: string, definitions?: Definitions }

/** In whole milliseconds: the pool takes no others, and a share of a lease may be anything. */
function timeoutOf ({ callTimeout = CALL_TIMEOUT_MS }: StoreConfig): number {
  return Math.ceil(callTimeout)
}

function build ({ dialect, writer, owned, file, client, definitions = NONE }: Parts, config: StoreConfig): Connections {
  const callTimeoutMs = timeoutOf(config)
  const onFile = file !== undefined && file !== MEMORY
  const reader = onFile && client !== undefined ? openSqlite(client, file, callTimeoutMs) : writer
  const wire = wireOf(dialect.name === 'postgres' ? 'pg' : client === 'better-sqlite3' ? client : 'sqlite3')
  const queue = !dialect.singleWriter ? null : onFile ? writerQueueOf(file) : new WriterQueue()
  let closed = false
  const settings = owned ? writer.client.connectionSettings as { options?: string } : {}
  let prepares = settings.options === POSTGRES_OPTIONS
  const shared = dialect.singleWriter && owned && onFile ? new SharedConnection(writer) : null
  const enter = async (owner: SharedConnection | null = null): Promise<() => void> => queue === null ? () => {} : await queue.enter(callTimeoutMs, owner)
  return {
    dialect,
    writer,
    reader,
    wireOf: (knex) => knex === writer && !owned ? null : wire,
    file: onFile ? file : null,
    single: dialect.singleWriter || writer.client.pool?.max === 1,
    get closed () { return closed },
    callTimeoutMs,
    verify: onFile ? sameFile(file) : () => {},
    get prepares () { return prepares },
    definitions,
    get hasSettings () { return settings.options === POSTGRES_OPTIONS },
    doWithoutSession () {
      prepares = false
      delete settings.options
    },
    shared,
    enter: async () => await enter(),
    async inTurn (write, how = 'alone') {
      const leave = await enter(how === 'beside' ? shared : null)
      try {
        return await write()
      } finally {
        leave()
      }
    },
    async close () {
      closed = true
      if (reader !== writer) await reader.destroy()
      if (owned) await writer.destroy()
    }
  }
}

/**
 * SQLite goes on with a file that was deleted or replaced, and what it writes then is lost. A stat(2) before each call
 * costs a few microseconds.
 */
function sameFile (file: string): () => void {
  let opened: string | null = null
  let moved = false // for good: what stands beside a file that came back may belong to another
  return () => {
    const found = statSync(file, { bigint: true, throwIfNoEntry: false })
    const identity = found === undefined ? null : `${found.dev} ${found.ino}`
    opened ??= identity // it may only come to be with the first connection
    moved ||= identity !== opened
    if (moved) throw new FileMoved()
  }
}

// A prepared statement is planned once, perhaps while the tables are empty, and lives as long as its connection: it must
// use the indexes all the same. And no plan of ours is long enough for JIT to pay. A statement that waits for a lock when
// its client gives it up is dropped by the server, too: else each further try would leave another session behind.
const POSTGRES_OPTIONS = '-c enable_seqscan=off -c jit=off -c client_connection_check_interval=2s'

function openPostgres (url: string, callTimeoutMs: number): Knex {
  return newKnex({
    client: 'pg',
    connection: {
      connectionString: url,
      // Options in the URL would win over these, and statements are then not prepared.
      ...(!new URL(url).searchParams.has('options') && { options: POSTGRES_OPTIONS }),
      application_name: 'fastify-tasks',
      keepAlive: true,
      connectionTimeoutMillis: callTimeoutMs
    } as Knex.PgConnectionConfig,
    // No idle connections: an app that never enqueues holds none.
    pool: { min: 0, max: 10 },
    acquireConnectionTimeout: callTimeoutMs,
    log: SILENT
  })
}

function openSqlite (client: string, filename: string, callTimeoutMs: number, begin: readonly string[] = []): Knex {
  const busyTimeoutMs = Math.min(SQLITE_BUSY_TIMEOUT_MS, callTimeoutMs)
  const first = [
    `PRAGMA busy_timeout = ${busyTimeoutMs}`,
    ...(filename === MEMORY ? [] : ['PRAGMA journal_mode = WAL']),
    // FULL: a commit is on the disk when it returns. NORMAL could lose the last ones in a power cut.
    'PRAGMA synchronous = FULL',
    'PRAGMA foreign_keys = ON',
    ...begin
  ]
  return newKnex({
    client,
    connection: { filename },
    useNullAsDefault: true,
    pool: {
      min: 1, // a connection to memory is the database
      max: 1,
      idleTimeoutMillis: 2 ** 31 - 1,
      afterCreate: (connection: unknown, done: (error: unknown, connection: unknown) => void) => {
        if (client === 'sqlite3') keepPrepared(connection as Sqlite3Database, busyTimeoutMs)
        runAll(connection, first).then(() => { done(null, connection) }, (error) => { done(error, connection) })
      }
    },
    acquireConnectionTimeout: callTimeoutMs,
    log: SILENT
  })
}

interface Sqlite3Connection { exec (sql: string, done: (error: Error | null) => void): void }
interface BetterSqlite3Connection { exec (sql: string): void, pragma: unknown }

async function runAll (connection: unknown, statements: readonly string[]): Promise<void> {
  const sql = statements.join('; ')
  const better = connection as BetterSqlite3Connection
  if (typeof better.pragma === 'function') { better.exec(sql); return }
  await new Promise<void>((resolve, reject) => {
    (connection as Sqlite3Connection).exec(sql, (error) => { if (error === null) resolve(); else reject(error) })
  })
}

/** The first of the drivers that is installed. */
function requireDriver (database: string, names: readonly string[]): string {
  for (const name of names) {
    try {
      require.resolve(name)
      return name
    } catch {}
  }
  throw new DRIVER_MISSING(database, names.join(' (or: ') + (names.length > 1 ? ')' : ''))
}
