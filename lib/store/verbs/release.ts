import type { Run, Session } from '../session.js'
import type { Dialect } from '../dialects/dialect.js'
import { returned } from '../row.js'
import { endClaims } from './claims.js'
import { guardedUpdate, lockRows, putBack } from './guarded.js'
import { noteReturned, PLACE } from './returned.js'

/**
 * What handing a row back changes: READY and due as before, the attempt given back. A row that was to be cancelled ends
 * CANCELLED instead. `r` is the row, `n.at` the moment.
 */
export function handBack (dialect: Dialect): string {
  const cancelled = 'r.cancel_at IS NOT NULL'
  const none = dialect.name === 'postgres' ? 'NULL::bigint' : 'NULL'
  return `status = CASE WHEN ${cancelled} THEN 'CANCELLED' ELSE 'READY' END,
    ${putBack(`NOT (${cancelled})`)},
    holds = CASE WHEN NOT (${cancelled}) AND r.concurrency_limit = 1 AND r.attempts - 1 > r.prior_attempts THEN r.holds ELSE NULL END,
    attempts = r.attempts - 1,
    finished_at = CASE WHEN ${cancelled} THEN n.at ELSE ${none} END,
    started_at = CASE WHEN r.attempts = 1 THEN ${none} ELSE r.started_at END,
    last_attempted_at = CASE WHEN r.attempts = 1 THEN ${none} ELSE r.last_attempted_at END,
    unique_held = CASE WHEN ${cancelled} AND r.unique_until IS NULL THEN NULL ELSE r.unique_held END,
    worker = NULL, claim = NULL`
}

/** Hand rows back uncharged, guarded by their tokens. Answers the ids it changed. */
export async function release (session: Session, worker: string, rows: ReadonlyArray<{ id: string, claim: number }>, ended: readonly number[]): Promise<string[]> {
  const { dialect } = session
  const source = dialect.rows([['id', 'uuid'], ['claim', 'bigint']])
  const { value } = await session.transact('hand tasks back', async (run) => {
    await lockRows(session, run, rows.map(({ id }) => id))
    const records = rows.length === 0
      ? []
      : await run(guardedUpdate(session, { source, set: handBack(dialect), returning: ['id', ...PLACE] }), [...source.bind(rows.map(({ id, claim }) => [id, claim])), worker])
    await noteReturned(session, run, records)
    if (ended.length > 0) await run(...endClaims(session, worker, ended))
    return records.map(({ id }) => id as string)
  })
  return value
}

/** Hand back all that a worker's claims still hold, whatever it knows of them; all of its claims where none are named. */
export async function releaseClaims (session: Session, run: Run, worker: string, claims: readonly number[] | null): Promise<string[]> {
  const { dialect, tables } = session
  const named = claims === null ? '' : `AND ${dialect.isIn('c.claim', 'bigint')}`
  const ids = dialect.elements('c.ids')
  const scope = [worker, ...(claims === null ? [] : [dialect.list(claims)])]
  const records = await run(`
    UPDATE ${tables.results} AS r SET ${handBack(dialect)}
    FROM (SELECT ${ids.id} AS id, c.claim FROM ${tables.claims} c CROSS JOIN ${ids.from} WHERE c.worker = ? ${named}) AS h
      CROSS JOIN (SELECT ${dialect.now} AS at) AS n
    WHERE r.id = h.id AND r.status = 'RUNNING' AND r.worker = ? AND r.claim = h.claim
    RETURNING ${returned(dialect, ['id', ...PLACE])}`, [...scope, worker])
  await noteReturned(session, run, records)
  await run(`DELETE FROM ${tables.claims} WHERE worker = ? ${named.replace('c.', '')}`, scope)
  return records.map(({ id }) => id as string)
}
