import type { ClaimRequest, Lane } from '../store.js'
import type { Run, Session } from '../session.js'
import { BEFORE_CUT, changes, CUT, limitedBindings, noneLimited, quarantine, type Statement } from './claim-terms.js'
import { claimedColumns } from './claimed.js'
import { START } from './lanes.js'

// So many rows come out of the driver faster as one text than one by one.
const AT_ONCE_MIN = 20

/**
 * A claim where one transaction at a time writes: rows need no locks. The batch is written down first, which takes the
 * write lock and names the rows; then these are changed.
 */
export async function claimInTurn (session: Session, run: Run, request: ClaimRequest, lanes: readonly Lane[]): Promise<unknown[][]> {
  const { dialect, tables } = session
  const [batch] = await run(...batchStatement(session, request, lanes))
  if (batch === undefined) return []
  const ids = dialect.list(dialect.idsOf(batch['ids']))
  const columns = claimedColumns(dialect)
  const update = `UPDATE ${tables.results} AS r SET worker = ?, claim = ?, ${changes(dialect)} FROM (SELECT ${dialect.now} AS at) AS n WHERE ${dialect.isIn('r.id', 'uuid')}`
  const bindings = [request.worker, request.claim, ids]
  if (dialect.idsOf(batch['ids']).length < AT_ONCE_MIN) return await run.tuples(`${update} RETURNING ${dialect.tuple(columns)}`, bindings)
  await run(update, bindings)
  return await run.tuples(`SELECT ${dialect.tuples(columns)} FROM ${tables.results} r WHERE ${dialect.isIn('r.id', 'uuid')}`, [ids])
}

/** Each lane is a sub-query of its own, so that each stops at the limit. */
function batchStatement (session: Session, request: ClaimRequest, lanes: readonly Lane[]): Statement {
  const { dialect, tables } = session
  const { worker, claim, backend, start, limit, most, tasks } = request
  const clock = dialect.leaseClock()
  const bindings: unknown[] = []
  const picks = lanes.map((lane) => {
    bindings.push(backend, lane.queue, lane.priority, lane.after?.due ?? START, lane.after?.tie ?? START, dialect.list(tasks), backend, lane.queue, most ?? limit)
    return `SELECT * FROM (
      SELECT r.id, r.seq, r.queue, r.priority, r.due FROM ${tables.results} r
      WHERE r.backend = ? AND r.queue = ? AND r.priority = ? AND r.claimable AND ${quarantine(request)}
        AND (r.due, r.seq) > (?, ?) AND r.due <= ${dialect.now} AND ${dialect.isIn('r.task', 'text')}
        AND NOT EXISTS (SELECT 1 FROM ${tables.queues} q WHERE q.backend = ? AND q.name = ? AND q.paused_at IS NOT NULL)
      ORDER BY r.due, r.seq LIMIT ?)`
  })
  const rows = picks.join(' UNION ALL ')
  const sql = `
    ${most === undefined ? '' : `WITH found AS MATERIALIZED (${rows}), ${CUT}`}
    INSERT INTO ${tables.claims} (worker, claim, backend, started, ids)
    SELECT ?, ?, ?, ?, ${dialect.ids('p.id', 'p.priority DESC, p.due, p.seq')}
    FROM (SELECT f.* FROM ${most === undefined ? `(${rows}) AS f` : `found f ${BEFORE_CUT}`} ORDER BY f.priority DESC, f.due, f.seq LIMIT ?) AS p
    WHERE EXISTS (SELECT 1 FROM ${tables.workers} w WHERE w.id = ? AND w.lease_until > ${clock.now}) ${noneLimited(session, request)}
    HAVING count(*) > 0
    RETURNING ids`
  const batch = [worker, claim, backend, start]
  return [sql, [...(most === undefined ? [...batch, ...bindings] : [...bindings, most, ...batch]), limit, worker, ...clock.bound, ...limitedBindings(request)]]
}
