import type { NewRow, Row } from '../store.js'
import type { RowSource } from '../dialects/dialect.js'
import type { Send, Session, Statement } from '../session.js'
import { encodeLimits, groupOf } from '../limits.js'
import { moment } from '../row.js'

const INPUT = [
  ['id', 'uuid'], ['backend', 'text'], ['task', 'text'], ['queue', 'text'], ['priority', 'int'],
  ['run_after', 'bigint'], ['delay', 'bigint'], ['args', 'text'], ['options', 'text'],
  ['unique_key', 'text'], ['unique_ready', 'boolean'], ['unique_ms', 'bigint'],
  ['concurrency_key', 'text'], ['concurrency_limit', 'int'], ['limit_group', 'text'], ['limits', 'text']
] as const

export interface Inserting {
  readonly sql: string
  readonly bindings: unknown[]
  /** Their tags are for `insertTags`, in the same transaction. */
  readonly tagsApart: boolean
}

/**
 * The statement that stores one row or many where a condition holds, with their tags where one can write to two tables. What
 * comes back is what the database has decided of each row that it stored.
 */
export function insertStatement (session: Session, rows: readonly NewRow[], [condition, given]: Statement = ['true', []]): Inserting {
  const { dialect, tables, sight } = session
  const source = insertSource(session)
  const [sql, bindings] = [insertSql(session, source, condition), [...source.bind(rows.map(insertValues)), ...given]]
  const tagged = tagsOf(rows)
  if (tagged.length === 0 || !dialect.writesInCtes) return { sql, bindings, tagsApart: tagged.length > 0 }
  const tags = dialect.rows(TAG, sight)
  return {
    sql: `
    WITH stored AS (${sql}),
    tagged AS (INSERT INTO ${tables.tags} (tag, id) SELECT i.tag, i.id FROM ${tags.sql} AS i WHERE i.id IN (SELECT s.id FROM stored s) ON CONFLICT DO NOTHING)
    SELECT * FROM stored`,
    bindings: [...bindings, ...tags.bind(tagged)],
    tagsApart: false
  }
}

/** One row or many; `RETURNING` says what the database decided. */
function insertSql (session: Session, source: RowSource, condition: string): string {
  const { dialect, tables } = session
  const at = dialect.now
  const after = 'coalesce(i.run_after, n.at + i.delay)'
  return `
    INSERT INTO ${tables.results} (id, backend, task, queue, priority, run_after, due, enqueued_at, args, options,
      unique_key, unique_held, unique_ready, unique_until, unique_ms, concurrency_key, concurrency_limit, limit_group, limits, parked, waiting, status, claimable)
    SELECT i.id, i.backend, i.task, i.queue, i.priority, ${after},
      CASE WHEN ${after} > n.at THEN ${after} ELSE n.at END, n.at, i.args, i.options,
      i.unique_key, CASE WHEN i.unique_key IS NULL THEN NULL ELSE true END, i.unique_ready, n.at + i.unique_ms, i.unique_ms,
      i.concurrency_key, i.concurrency_limit, i.limit_group, i.limits, CASE WHEN i.limit_group IS NULL THEN NULL ELSE 'limit' END, i.limit_group, 'READY', i.limit_group IS NULL
    FROM ${source.sql} AS i CROSS JOIN (SELECT ${at} AS at) AS n
    WHERE ${condition}
    ORDER BY i.ord
    ON CONFLICT DO NOTHING
    RETURNING id, due, run_after, enqueued_at`
}

export function insertSource (session: Session): RowSource {
  return session.dialect.rows(INPUT, session.sight)
}

/** In the order of `INPUT`. */
export function insertValues (row: NewRow): unknown[] {
  const { unique, limits } = row
  const limited = limits !== null && limits !== undefined
  return [
    row.id, row.backend, row.task, row.queue, row.priority, row.runAfter, row.delay, row.args, row.options,
    unique === null ? null : unique.key,
    unique === null ? null : unique.scope === 'ready',
    unique !== null && typeof unique.scope === 'number' ? unique.scope : null,
    limited ? limits.key : null,
    limited && limits.key !== null ? limits.concurrency : null,
    limited ? groupOf(row.queue, limits) : null,
    limited ? encodeLimits(limits) : null
  ]
}

/** The stored row of a new row and what the database decided of it. */
export function newlyStored (row: NewRow, decided: Record<string, unknown>): Row {
  return {
    id: row.id,
    backend: row.backend,
    task: row.task,
    queue: row.queue,
    priority: row.priority,
    status: 'READY',
    args: row.args,
    options: row.options,
    runAfter: moment(decided['run_after']),
    due: Number(decided['due']),
    enqueuedAt: Number(decided['enqueued_at']),
    startedAt: null,
    lastAttemptedAt: null,
    finishedAt: null,
    attempts: 0,
    priorAttempts: 0,
    deaths: 0,
    workerIds: [],
    errors: [],
    returnValue: null,
    progress: null
  }
}

export async function insertTags (session: Session, rows: ReadonlyArray<Pick<NewRow, 'id' | 'tags'>>, run: Send): Promise<void> {
  const tagged = tagsOf(rows)
  if (tagged.length === 0) return
  const source = session.dialect.rows(TAG)
  await run(`INSERT INTO ${session.tables.tags} (tag, id) SELECT i.tag, i.id FROM ${source.sql} AS i WHERE true ON CONFLICT DO NOTHING`, source.bind(tagged))
}

const TAG = [['tag', 'text'], ['id', 'uuid']] as const

function tagsOf (rows: ReadonlyArray<Pick<NewRow, 'id' | 'tags'>>): unknown[][] {
  return rows.flatMap(({ id, tags }) => tags.map((tag) => [tag, id]))
}
