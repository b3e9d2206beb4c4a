import type { ClaimRequest, Lane } from '../store.js'
import type { Procedure } from '../procedures.js'
import type { Run, Session } from '../session.js'
import { asChanged, BEFORE_CUT, changes, CUT, limitedBindings, noneLimited, notPaused, quarantine } from './claim-terms.js'
import { claimedColumns, restOf } from './claimed.js'
import { START } from './lanes.js'
import { padded } from './padded.js'

const BATCH = ['worker', 'claim', 'backend', 'started', 'ids'] as const

export const LANES_MAX = 400 // the first ones, in the order of the contract: SQLite takes 500 terms in a compound SELECT

// So many rows come out of the driver faster as one text than one by one.
const AT_ONCE_MIN = 20

// What of a row a claim returns and does not change, beside its id and its place.
const KEPT = ['task', 'args', 'due', 'enqueued_at', 'prior_attempts', 'deaths', 'run_after', 'options', 'errors', 'progress', 'limit_group'] as const

/** A batch is written down, and its rows are changed; `rows` is what the claim returns of them. */
export const claiming: Procedure = {
  name: 'claiming',
  columns: [...BATCH, 'at', 'places', 'rows'],
  body: (tables, dialect) => `
    INSERT INTO ${tables.claims} (${BATCH.join(', ')}) VALUES (${BATCH.map((column) => `NEW.${column}`).join(', ')});
    UPDATE ${tables.results} SET worker = NEW.worker, claim = NEW.claim, ${changes(dialect, tables.results, 'NEW.at')}
      WHERE seq IN (SELECT value FROM json_each(NEW.places));`
}

/**
 * A claim where one transaction at a time writes, and rows need no locks: one call. Null where it refused. What the
 * database puts into JSON costs more than to change the row: so no row repeats what its lane or its batch says.
 */
export async function claimByCall (session: Session, request: ClaimRequest, lanes: readonly Lane[]): Promise<unknown[][] | null> {
  const { dialect, tables } = session
  const picked = pick(session, request, lanes)
  // The rows come to the aggregates in the order of the first source of the join.
  const { rows } = await session.call('claim tasks', `
    WITH ${picked.ctes}
    INSERT INTO ${session.procedure(claiming)}
    SELECT ?, ?, ?, ?, json_group_array(c.id), c.at, json_group_array(c.seq), json_group_array(json_array(c.lane, c.task, c.args, c.due, ${restOf(dialect)}))
    FROM (
      SELECT p.id, p.seq, p.lane, ${KEPT.map((column) => `r.${column}`).join(', ')}, ${asChanged(dialect)}, n.at
      FROM ${picked.sql} AS p CROSS JOIN ${tables.results} r CROSS JOIN (SELECT ${dialect.now} AS at) AS n WHERE r.seq = p.seq
    ) AS c
    HAVING count(*) > 0
    RETURNING ids, at, places, rows`, [...picked.before, ...batchOf(request), ...picked.bindings])
  if (rows === null) return null
  const [batch] = rows as unknown as Batch[]
  if (batch === undefined) return []
  const ids = JSON.parse(batch.ids) as string[]
  const places = JSON.parse(batch.places) as number[]
  return (JSON.parse(batch.rows) as PickedRow[]).map(([lane, task, args, due, rest], nth) => {
    const { queue, priority } = lanes[lane] as Lane
    return [ids[nth], task, queue, priority, args, due, places[nth], batch.at, rest]
  })
}

interface Batch { readonly ids: string, readonly at: number, readonly places: string, readonly rows: string }

type PickedRow = [lane: number, task: string, args: string, due: number, rest: unknown]

/**
 * The same in a transaction, on connections that have no procedures. The batch is written down first, which takes the
 * write lock and names the rows; then these are changed.
 */
export async function claimInTurn (session: Session, run: Run, request: ClaimRequest, lanes: readonly Lane[]): Promise<unknown[][]> {
  const { dialect, tables } = session
  const picked = pick(session, request, lanes)
  const [batch] = await run(`
    WITH ${picked.ctes}
    INSERT INTO ${tables.claims} (${BATCH.join(', ')})
    SELECT ?, ?, ?, ?, ${dialect.ids('p.id', orderOf('p'))} FROM ${picked.sql} AS p HAVING count(*) > 0
    RETURNING ids`, [...picked.before, ...batchOf(request), ...picked.bindings])
  if (batch === undefined) return []
  const ids = dialect.list(dialect.idsOf(batch['ids']))
  const columns = claimedColumns(dialect)
  const update = `UPDATE ${tables.results} AS r SET worker = ?, claim = ?, ${changes(dialect)} FROM (SELECT ${dialect.now} AS at) AS n WHERE ${dialect.isIn('r.id', 'uuid')}`
  const bindings = [request.worker, request.claim, ids]
  if (dialect.idsOf(batch['ids']).length < AT_ONCE_MIN) return await run.tuples(`${update} RETURNING ${dialect.tuple(columns)}`, bindings)
  await run(update, bindings)
  return await run.tuples(`SELECT ${dialect.tuples(columns)} FROM ${tables.results} r WHERE ${dialect.isIn('r.id', 'uuid')}`, [ids])
}

interface Picked { readonly ctes: string, readonly before: unknown[], readonly sql: string, readonly bindings: unknown[] }

/**
 * The rows to claim, where the worker's lease stands. Each lane is a sub-query of its own, so that each stops at the limit.
 * A bare `LIMIT ?` would be looked at when the statement is compiled, and have it compiled anew each time it is bound.
 */
function pick (session: Session, request: ClaimRequest, lanes: readonly Lane[]): Picked {
  const { dialect, tables } = session
  const { worker, backend, limit, most, tasks } = request
  const clock = dialect.leaseClock()
  const before: unknown[] = []
  const rows = padded(lanes, { least: 1, max: LANES_MAX }).map((lane, index) => {
    before.push(backend, lane.queue, lane.priority, lane.after?.due ?? START, lane.after?.tie ?? START, dialect.list(tasks), backend, lane.queue, index < lanes.length ? most ?? limit : 0)
    return `SELECT * FROM (
      SELECT r.id, r.seq, r.queue, r.priority, r.due, ${index} AS lane FROM ${tables.results} r
      WHERE r.backend = ? AND r.queue = ? AND r.priority = ? AND r.claimable AND ${quarantine(request)}
        AND (r.due, r.seq) > (?, ?) AND r.due <= ${dialect.now} AND ${dialect.isIn('r.task', 'text')}
        AND ${notPaused(tables, '?', '?')}
      ORDER BY r.due, r.seq LIMIT +?)`
  })
  if (most !== undefined) before.push(most)
  return {
    ctes: `found AS MATERIALIZED (${rows.join(' UNION ALL ')}) ${most === undefined ? '' : `, ${CUT}`}`,
    before,
    sql: `(
      SELECT f.* FROM found f ${most === undefined ? 'WHERE true' : BEFORE_CUT}
        AND EXISTS (SELECT 1 FROM ${tables.workers} w WHERE w.id = ? AND w.lease_until > ${clock.now}) ${noneLimited(session, request)}
      ORDER BY ${orderOf('f')} LIMIT +?)`,
    bindings: [worker, ...clock.bound, ...limitedBindings(request), limit]
  }
}

/** That of the contract. */
function orderOf (row: string): string {
  return `${row}.priority DESC, ${row}.due, ${row}.seq`
}

function batchOf ({ worker, claim, backend, start }: ClaimRequest): unknown[] {
  return [worker, claim, backend, start]
}
