import type { Dialect } from './dialects/dialect.js'
import type { Row, StoredError } from './store.js'
import type { TaskResultStatus } from '../core/status.js'

/** The columns of `results` that make a Row; the only file that maps them. */
export const COLUMNS = [
  'id', 'backend', 'task', 'queue', 'priority', 'status', 'args', 'options', 'run_after', 'due', 'seq', 'enqueued_at',
  'started_at', 'last_attempted_at', 'finished_at', 'attempts', 'prior_attempts', 'deaths', 'worker', 'claim', 'worker_ids', 'errors',
  'return_value', 'progress'
] as const

/** The columns, qualified by an alias of the table. */
export function columnsOf (alias: string): string {
  return COLUMNS.map((column) => `${alias}.${column}`).join(', ')
}

/** What an UPDATE of `r` returns: SQLite knows no alias there, and PostgreSQL needs one beside a joined source. */
export function returned (dialect: Dialect, columns: readonly string[] = COLUMNS): string {
  return columns.map((column) => dialect.name === 'sqlite' ? column : `r.${column}`).join(', ')
}

type Record_ = Readonly<Record<string, unknown>>

/** PostgreSQL gives bigints as strings. */
export function toRow (record: Record_): Row {
  const worker = record['worker'] as string | null
  const history = record['worker_ids'] as string | null
  return {
    id: record['id'] as string,
    backend: record['backend'] as string,
    task: record['task'] as string,
    queue: record['queue'] as string,
    priority: record['priority'] as number,
    status: record['status'] as TaskResultStatus,
    args: record['args'] as string,
    options: record['options'] as string | null,
    runAfter: moment(record['run_after']),
    due: Number(record['due']),
    enqueuedAt: Number(record['enqueued_at']),
    startedAt: moment(record['started_at']),
    lastAttemptedAt: moment(record['last_attempted_at']),
    finishedAt: moment(record['finished_at']),
    attempts: record['attempts'] as number,
    priorAttempts: record['prior_attempts'] as number,
    deaths: record['deaths'] as number,
    workerIds: workerIdsOf(history, worker),
    errors: errorsOf(record['errors'] as string | null),
    returnValue: record['return_value'] as string | null,
    progress: record['progress'] as string | null
  }
}

export function moment (value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value)
}

const NONE: readonly never[] = Object.freeze([])

// `worker` is the last one; `worker_ids` holds those before it and is null for the many rows that run once.
export function workerIdsOf (history: string | null, worker: string | null): readonly string[] {
  if (history === null) return worker === null ? NONE : [worker]
  const before = JSON.parse(history) as string[]
  return worker === null ? before : [...before, worker]
}

export function errorsOf (text: string | null): readonly StoredError[] {
  return text === null ? NONE : JSON.parse(text) as StoredError[]
}
