import type { RowSource } from '../dialects/dialect.js'
import type { Run, Session } from '../session.js'
import { returned } from '../row.js'

/**
 * The one shape of every write after a claim: many rows of `results` (`r`), each found by its id in a source (`i`) and
 * changed only where it is RUNNING under the source's token. `n.at` is the moment. The source has the columns `id` and
 * `claim`; `worker` is its column of that name, or a binding behind the source's.
 *
 * On PostgreSQL the rows are looked up one by one through the primary key, and then changed by their place. Left to
 * itself the planner takes the guard for so selective that it reads the whole table for it, once statistics are a
 * minute old. A row that somebody else is changing at this very moment (its progress, a cancellation) is passed over: it
 * has another place by then. `lockRows` before it, in the same transaction, rules that out.
 */
export function guardedUpdate (session: Session, { source, set, returning, tuple = false, worker = '?', and = '', now = session.dialect.now }: GuardedUpdate): string {
  const { dialect, tables } = session
  const guard = `r.id = i.id AND r.status = 'RUNNING' AND r.worker = ${worker} AND r.claim = i.claim ${and}`
  const moment = `CROSS JOIN (SELECT ${now} AS at) AS n`
  const tail = `RETURNING ${tuple ? dialect.tuple(returned(dialect, returning).split(', ')) : returned(dialect, returning)}`
  if (!dialect.writesInCtes) return `UPDATE ${tables.results} AS r SET ${set} FROM ${source.sql} AS i ${moment} WHERE ${guard} ${tail}`
  return `
    WITH held AS MATERIALIZED (
      SELECT i.*, x.place FROM ${source.sql} AS i
      CROSS JOIN LATERAL (SELECT x.ctid AS place FROM ${tables.results} x WHERE x.id = i.id LIMIT 1) AS x
    )
    UPDATE ${tables.results} AS r SET ${set} FROM held AS i ${moment}
    WHERE r.ctid = ANY (ARRAY(SELECT place FROM held)) AND ${guard} ${tail}`
}

/** What makes a row claimable where a condition holds: one that a limit holds back waits for that instead. */
export function putBack (condition: string): string {
  return `claimable = (${condition}) AND r.limit_group IS NULL,
    parked = CASE WHEN (${condition}) AND r.limit_group IS NOT NULL THEN 'limit' ELSE NULL END,
    waiting = CASE WHEN ${condition} THEN r.limit_group ELSE NULL END`
}

/**
 * Wait for whoever is changing these rows, and keep them as they are then until the transaction ends: the next statement
 * sees them so. In the order of their ids, so that two who lock some of the same rows do not deadlock. Where there is one
 * writer there is nobody to wait for.
 */
export async function lockRows ({ dialect, tables }: Session, run: Run, ids: readonly string[]): Promise<void> {
  if (dialect.singleWriter || ids.length === 0) return
  await run(`SELECT 1 FROM ${tables.results} r WHERE ${dialect.isIn('r.id', 'uuid')} ORDER BY r.id FOR NO KEY UPDATE`, [dialect.list(ids)])
}

/**
 * Of these rows lock those that nobody is changing; where there are none, wait for the first. Answers which. Who waits so
 * holds nothing, and cannot deadlock with anybody, in whatever order others take theirs. (A busy finish takes the rows as
 * they ended.)
 */
export async function lockFree (session: Session, run: Run, ids: readonly string[]): Promise<readonly string[]> {
  if (session.dialect.singleWriter) return ids
  const free = await lockNow(session, run, ids)
  if (free.length > 0) return free
  const first = ids.slice(0, 1)
  await lockRows(session, run, first)
  return first
}

/**
 * The same without waiting. Answers the ids of RUNNING rows that somebody else keeps locked; a row that is no more, or
 * has ended, is none of them.
 */
export async function lockOrPass (session: Session, run: Run, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const { dialect, tables } = session
  if (dialect.singleWriter || ids.length === 0) return new Set()
  const free = new Set(await lockNow(session, run, ids))
  const left = ids.filter((id) => !free.has(id))
  if (left.length === 0) return new Set()
  const busy = await run(`SELECT r.id FROM ${tables.results} r WHERE ${dialect.isIn('r.id', 'uuid')} AND r.status = 'RUNNING'`, [dialect.list(left)])
  return new Set(busy.map(({ id }) => id as string))
}

async function lockNow ({ dialect, tables }: Session, run: Run, ids: readonly string[]): Promise<string[]> {
  const free = await run(`SELECT r.id FROM ${tables.results} r WHERE ${dialect.isIn('r.id', 'uuid')} ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED`, [dialect.list(ids)])
  return free.map(({ id }) => id as string)
}

export interface GuardedUpdate {
  readonly source: RowSource
  readonly set: string
  readonly returning?: readonly string[]
  /** Rows come back as tuples. */
  readonly tuple?: boolean
  readonly worker?: '?' | 'i.worker'
  /** The moment, where a statement around this one has it already. */
  readonly now?: string
  /** More conditions. */
  readonly and?: string
}
