import type { RowSource } from '../dialects/dialect.js'
import type { Session } from '../session.js'
import { returned } from '../row.js'

/**
 * The one shape of every write after a claim: many rows of `results` (`r`), each found by its id in a source (`i`) and
 * changed only where it is RUNNING under the source's token. `n.at` is the moment. The source has the columns `id` and
 * `claim`; `worker` is its column of that name, or a binding behind the source's.
 *
 * On PostgreSQL the rows are looked up one by one through the primary key, and then changed by their place. Left to
 * itself the planner takes the guard for so selective that it reads the whole table for it, once statistics are a
 * minute old. A row that is changed by somebody else at this very moment may be passed over: see `missed` in finish.ts.
 */
export function guardedUpdate (session: Session, { source, set, returning, worker = '?', and = '' }: GuardedUpdate): string {
  const { dialect, tables } = session
  const guard = `r.id = i.id AND r.status = 'RUNNING' AND r.worker = ${worker} AND r.claim = i.claim ${and}`
  const moment = `CROSS JOIN (SELECT ${dialect.now} AS at) AS n`
  const tail = `RETURNING ${returned(dialect, returning)}`
  if (!dialect.writesInCtes) return `UPDATE ${tables.results} AS r SET ${set} FROM ${source.sql} AS i ${moment} WHERE ${guard} ${tail}`
  return `
    WITH held AS MATERIALIZED (
      SELECT i.*, x.place FROM ${source.sql} AS i
      CROSS JOIN LATERAL (SELECT x.ctid AS place FROM ${tables.results} x WHERE x.id = i.id LIMIT 1) AS x
    )
    UPDATE ${tables.results} AS r SET ${set} FROM held AS i ${moment}
    WHERE r.ctid = ANY (ARRAY(SELECT place FROM held)) AND ${guard} ${tail}`
}

export interface GuardedUpdate {
  readonly source: RowSource
  readonly set: string
  readonly returning?: readonly string[]
  readonly worker?: '?' | 'i.worker'
  /** More conditions. */
  readonly and?: string
}
