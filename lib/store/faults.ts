/**
 * What a database error means, in one table: by SQLSTATE (PostgreSQL), by result code (SQLite), or by the code of the
 * socket. Anything that is not listed is permanent: retrying it would only repeat it.
 */
export type Fault =
  /** Will pass, and soon: try again. */
  | 'transient'
  /** Will pass, but not by trying at once: tell the caller now. */
  | 'unavailable'
  /** Of the statement or its data. */
  | 'permanent'

const TRANSIENT: ReadonlySet<string> = new Set([
  'NO_ANSWER',
  '26000', // invalid_sql_statement_name: a transaction pooler gave us another session, see Session
  '25006', // read_only_sql_transaction: a fail-over is under way
  '25P03', // idle_in_transaction_session_timeout
  '42P05', // duplicate_prepared_statement: likewise
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available
  '57014', // query_canceled: a statement timeout, or somebody's pg_cancel_backend
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P05', // idle_session_timeout
  'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN',
  'SQLITE_BUSY', 'SQLITE_LOCKED', 'SQLITE_PROTOCOL'
])

const UNAVAILABLE: ReadonlySet<string> = new Set([
  'ENOTFOUND',
  'SQLITE_FULL', 'SQLITE_IOERR', 'SQLITE_READONLY', 'SQLITE_CANTOPEN', 'SQLITE_NOMEM', 'SQLITE_CORRUPT', 'SQLITE_NOTADB',
  '28000', '28P01', // authorisation
  '3D000', // the database does not exist
  '42501', // insufficient_privilege
  '42P01' // undefined_table: tables dropped or not migrated
])

// Classes of SQLSTATE: connection exception, insufficient resources, system error.
const TRANSIENT_CLASSES: ReadonlySet<string> = new Set(['08', '53', '58'])
// Within them, what a retry within seconds does not mend: the disk is full.
const FULL: ReadonlySet<string> = new Set(['53100'])

// Errors that carry no code: pg and Knex say these in words only.
const TRANSIENT_MESSAGES = /Connection terminated|Client has encountered a connection error|Client was closed and is not queryable|Timeout acquiring a connection|timeout expired|Query read timeout|connection is closed|Connection ended unexpectedly/i

/** The time of a call is over: a lock that somebody holds, a network that swallows, a pool that is empty. */
export class NoAnswer extends Error {
  readonly code = 'NO_ANSWER'
}

export function faultOf (error: unknown): Fault {
  const code = codeOf(error)
  if (code !== null) {
    if (FULL.has(code)) return 'unavailable'
    if (TRANSIENT.has(code) || (code.length === 5 && TRANSIENT_CLASSES.has(code.slice(0, 2)))) return 'transient'
    if (UNAVAILABLE.has(code)) return 'unavailable'
  }
  return TRANSIENT_MESSAGES.test(messageOf(error)) ? 'transient' : 'permanent'
}

/** True where a statement that was prepared in one session was sent to another: there is a transaction pooler in front. */
export function isForeignSession (error: unknown): boolean {
  const code = codeOf(error)
  return code === '26000' || code === '42P05'
}

/** True where another row holds the key already (unique_violation, on PostgreSQL; SQLite's one writer looks before it writes). */
export function breaksUniqueness (error: unknown): boolean {
  return codeOf(error) === '23505'
}

/** True where the server, or a pooler before it, refuses the settings that a connection begins with. */
export function refusesOptions (error: unknown): boolean {
  const code = codeOf(error)
  return code === '08P01' || (code === '22023' && (error as { severity?: unknown }).severity === 'FATAL')
}

/**
 * What may be said of a driver's error: its code and, for a socket, where it was going. Never its message: Knex puts the
 * values of the statement in there, and PostgreSQL quotes data.
 */
export function describeFault (error: unknown): string {
  const code = codeOf(error)
  const { address, port, hostname, constraint } = (error ?? {}) as Record<string, unknown>
  const place = address !== undefined ? ` at ${String(address)}${port === undefined ? '' : `:${String(port)}`}` : hostname !== undefined ? ` at ${String(hostname)}` : ''
  if (code === null) return TRANSIENT_MESSAGES.exec(messageOf(error))?.[0] ?? 'an error without a code'
  const meaning = MEANINGS[code]
  return `${code}${meaning === undefined ? '' : ` (${meaning})`}${place}${typeof constraint === 'string' ? `, constraint ${constraint}` : ''}`
}

const MEANINGS: Readonly<Record<string, string>> = {
  NO_ANSWER: 'the database did not answer in time',
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'no such host',
  SQLITE_BUSY: 'another process holds the write lock',
  SQLITE_FULL: 'the disk is full',
  SQLITE_IOERR: 'the disk failed to read or write',
  SQLITE_READONLY: 'the file or its directory cannot be written',
  SQLITE_CANTOPEN: 'the file cannot be opened or created',
  SQLITE_CORRUPT: 'the file is damaged',
  SQLITE_NOTADB: 'the file is not a SQLite database',
  28000: 'this user may not connect',
  '28P01': 'wrong password',
  '3D000': 'no such database',
  42501: 'this user has not the right to do that',
  '42P01': 'a table is missing: run `fastify-tasks migrate`',
  53100: 'the disk is full',
  53300: 'too many connections',
  57014: 'the statement was cancelled, or took longer than statement_timeout',
  '57P01': 'the server is shutting down',
  '57P03': 'the server is starting up'
}

function codeOf (error: unknown): string | null {
  const code = (error as { code?: unknown } | null | undefined)?.code
  // better-sqlite3 gives extended codes: SQLITE_BUSY_SNAPSHOT, SQLITE_IOERR_FSYNC.
  return typeof code === 'string' ? code.replace(/^(SQLITE_[A-Z]+)_.*/, '$1') : null
}

function messageOf (error: unknown): string {
  const message = (error as { message?: unknown } | null | undefined)?.message
  return typeof message === 'string' ? message : ''
}
