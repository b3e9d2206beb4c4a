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

// SQLite has one code for this and for what is wrong in a statement.
const NO_TABLE = 'SQLITE_ERROR_NO_TABLE'

type Entry = readonly [fault: Fault, meaning?: string]

// By the whole code, or by its class: the first two characters of a SQLSTATE.
const TABLE: Readonly<Record<string, Entry>> = {
  NO_ANSWER: ['transient', 'the database did not answer in time'],

  // PostgreSQL
  '08': ['transient'], // connection exception
  25006: ['transient', 'the database is read-only: a fail-over may be under way'],
  '25P03': ['transient', 'idle_in_transaction_session_timeout'],
  '25P04': ['transient', 'transaction_timeout'],
  26000: ['transient', 'a transaction pooler is in front'], // invalid_sql_statement_name, see Session
  28: ['unavailable', 'this user may not connect'],
  '28P01': ['unavailable', 'wrong password'],
  '3D000': ['unavailable', 'no such database'],
  '3F000': ['unavailable', 'the schema is missing: run `fastify-tasks migrate`'],
  40: ['transient'], // serialization_failure, deadlock_detected, statement_completion_unknown
  42501: ['unavailable', 'this user has not the right to do that'],
  42703: ['unavailable', 'a column is missing: run `fastify-tasks migrate`'],
  '42P01': ['unavailable', 'a table is missing: run `fastify-tasks migrate`'],
  '42P05': ['transient', 'a transaction pooler is in front'], // duplicate_prepared_statement, see Session
  53: ['transient'], // insufficient resources
  53100: ['unavailable', 'the disk is full'],
  53300: ['transient', 'too many connections'],
  '55P03': ['transient', 'somebody holds a lock for longer than lock_timeout'],
  57: ['transient'], // operator intervention
  57014: ['transient', 'the statement was cancelled, or took longer than statement_timeout'],
  '57P01': ['transient', 'the server is shutting down, or ended this session'],
  '57P03': ['transient', 'the server is starting up'],
  '57P04': ['unavailable', 'the database was dropped'],
  58: ['unavailable', "the server's disk failed to read or write"],
  XX001: ['unavailable', 'the data is damaged'],
  XX002: ['unavailable', 'an index is damaged'],

  // SQLite; extended codes go by their first word
  SQLITE_BUSY: ['transient', 'another process holds the write lock'],
  SQLITE_LOCKED: ['transient', 'another connection holds the write lock'],
  SQLITE_PROTOCOL: ['transient'],
  SQLITE_SCHEMA: ['transient'],
  SQLITE_INTERRUPT: ['transient'],
  SQLITE_FULL: ['unavailable', 'the disk is full'],
  SQLITE_IOERR: ['unavailable', 'the disk failed to read or write'],
  SQLITE_READONLY: ['unavailable', 'the file or its directory cannot be written'],
  SQLITE_READONLY_DBMOVED: ['unavailable', 'the file was moved, deleted or replaced while it was open: restart with the right one'],
  SQLITE_CANTOPEN: ['unavailable', 'the file cannot be opened or created'],
  SQLITE_PERM: ['unavailable', 'the file cannot be read'],
  SQLITE_NOMEM: ['unavailable', 'out of memory'],
  SQLITE_CORRUPT: ['unavailable', 'the file is damaged'],
  SQLITE_NOTADB: ['unavailable', 'the file is not a SQLite database'],
  [NO_TABLE]: ['unavailable', 'a table is missing: run `fastify-tasks migrate`'],
  SQLITE_MISUSE: ['unavailable', 'the connection is closed'],

  // Sockets
  ECONNREFUSED: ['transient', 'nothing listens there'],
  ECONNRESET: ['transient'],
  ECONNABORTED: ['transient'],
  EPIPE: ['transient'],
  ETIMEDOUT: ['transient'],
  EHOSTUNREACH: ['transient'],
  EHOSTDOWN: ['transient'],
  ENETUNREACH: ['transient'],
  ENETDOWN: ['transient'],
  EAI_AGAIN: ['transient'],
  ENOENT: ['transient', 'nothing listens there'], // of a Unix socket, while the server restarts
  EMFILE: ['transient', 'this process has too many open files'],
  ENOTFOUND: ['unavailable', 'no such host'],
  EACCES: ['unavailable', 'this user may not connect']
}

// Errors that carry no code: pg and Knex say these in words only.
const TRANSIENT_MESSAGES = /Connection terminated|Client has encountered a connection error|Client was closed and is not queryable|Timeout acquiring a connection|timeout expired|Query read timeout|connection is closed|Connection ended unexpectedly/i

/** The time of a call is over: a lock that somebody holds, a network that swallows, a pool that is empty. */
export class NoAnswer extends Error {
  readonly code = 'NO_ANSWER'
}

/** The SQLite file under an open connection is not the one of that name any more: what is written to it would be lost. */
export class FileMoved extends Error {
  readonly code = 'SQLITE_READONLY_DBMOVED'
}

export function faultOf (error: unknown): Fault {
  const code = codeOf(error)
  const [fault] = (code === null ? undefined : entryOf(code)) ?? []
  return fault ?? (TRANSIENT_MESSAGES.test(messageOf(error)) ? 'transient' : 'permanent')
}

/** What the store says of an error that it throws: to try again would only repeat it. */
export function isPermanent (error: unknown): boolean {
  return (error as { fault?: unknown } | null | undefined)?.fault === 'permanent'
}

function entryOf (code: string): Entry | undefined {
  const name = [code, primaryOf(code), ...(SQLSTATE.test(code) ? [code.slice(0, 2)] : [])].find((name) => Object.hasOwn(TABLE, name))
  return name === undefined ? undefined : TABLE[name]
}

const SQLSTATE = /^(?!E)[0-9A-Z]{5}$/ // EPIPE is none

/**
 * True where nobody can say from the error whether a commit took effect: its answer was lost. Any other error is the
 * server's own answer that it did not.
 */
export function leavesUnsure (error: unknown): boolean {
  const code = codeOf(error)
  if (code !== null && NEVER_SENT.has(code)) return false
  if (code === null) return faultOf(error) === 'transient' // in words only: the connection is gone
  if (!SQLSTATE.test(code)) return faultOf(error) === 'transient' ? !code.startsWith('SQLITE_') : code.startsWith('SQLITE_IOERR')
  return code === '40003' || code.startsWith('08') || code.startsWith('57P') || code.startsWith('58')
}

// There was no connection to send it on.
const NEVER_SENT: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT', 'EMFILE', 'EAI_AGAIN', '57P03'])

/** True where a statement that was prepared in one session was sent to another: there is a transaction pooler in front. */
export function isForeignSession (error: unknown): boolean {
  const code = codeOf(error)
  return code === '26000' || code === '42P05'
}

/** True where another row holds the key already (unique_violation, on PostgreSQL; SQLite's one writer looks before it writes). */
export function breaksUniqueness (error: unknown): boolean {
  return codeOf(error) === '23505'
}

/** True where SQLite refused a row, or a trigger of ours did. */
export function breaksConstraint (error: unknown): boolean {
  return codeOf(error)?.startsWith('SQLITE_CONSTRAINT') === true
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
  const meaning = entryOf(code)?.[1]
  return `${code}${meaning === undefined ? '' : ` (${meaning})`}${place}${typeof constraint === 'string' ? `, constraint ${constraint}` : ''}`
}

function codeOf (error: unknown): string | null {
  const code = (error as { code?: unknown } | null | undefined)?.code
  if (code === 'SQLITE_ERROR' && /no such (?:table|column): \S+$/.test(messageOf(error))) return NO_TABLE
  return typeof code === 'string' ? code : null
}

/** better-sqlite3 gives extended codes: SQLITE_BUSY_SNAPSHOT, SQLITE_IOERR_FSYNC. */
function primaryOf (code: string): string {
  return code.replace(/^(SQLITE_[A-Z]+)_.*/, '$1')
}

function messageOf (error: unknown): string {
  const message = (error as { message?: unknown } | null | undefined)?.message
  return typeof message === 'string' ? message : ''
}
