import type { ClaimedRow, ClaimRequest, Lane, QueueSelection, Token } from '../store.js'
import type { Session, Statement } from '../session.js'
import { charsOf } from '../chars.js'
import { claimByCall, claimInTurn, LANES_MAX } from './claim-in-turn.js'
import { BEFORE_CUT, changes, CUT, limitedBindings, noneLimited, notPaused, quarantine } from './claim-terms.js'
import { claimedColumns, claimedRows } from './claimed.js'
import { CALL_CHARS_MAX } from '../procedures.js'
import { LANE, laneCtes, laneValues, lanes as lanesOf, START } from './lanes.js'

/**
 * Take due rows in order and write down the batch. On PostgreSQL one statement; elsewhere a call, or a short transaction.
 */
export async function claim (session: Session, request: ClaimRequest): Promise<ClaimedRow[]> {
  const { lanes, limit, tasks } = request
  if (limit < 1 || tasks.length === 0 || (isNamed(lanes) && lanes.length === 0)) return []
  const tuples = session.dialect.writesInCtes
    ? (await session.writeTuples('claim tasks', ...oneStatement(session, request), { plan: 'once' }, takenBy(session, request))).rows
    : await onOneWriter(session, request, isNamed(lanes) ? lanes : await dueLanes(session, request, lanes))
  return claimedRows(tuples, request)
}

function isNamed (lanes: ClaimRequest['lanes']): lanes is readonly Lane[] {
  return Array.isArray(lanes)
}

async function onOneWriter (session: Session, request: ClaimRequest, lanes: readonly Lane[]): Promise<unknown[][]> {
  if (lanes.length === 0) return []
  const called = session.hasProcedures && !heavy.has(session) ? await claimByCall(session, request, lanes) : null
  const tuples = called ?? (await session.transact('claim tasks', async (run) => await claimInTurn(session, run, request, lanes))).value
  if (tuples.length > 0) weigh(session, tuples)
  return tuples
}

/** Stores of which the last claim brought more than a call is worth: see `isCallable`. */
const heavy = new WeakSet<Session>()

function weigh (session: Session, tuples: readonly unknown[][]): void {
  if (charsOf(tuples.map(([, , , , args]) => args)) > CALL_CHARS_MAX) heavy.add(session)
  else heavy.delete(session)
}

/** Where a look costs no round trip, it is taken first: an empty queue is then seen without the write lock. */
async function dueLanes (session: Session, { backend, quarantined = false, unlessLimited = false }: ClaimRequest, { only, except }: QueueSelection): Promise<Lane[]> {
  const found = await lanesOf(session, { backend, quarantined })
  if (unlessLimited && found.limited === true) return []
  return found.lanes
    .filter(({ queue, due }) => due <= found.now && (only === null || only.includes(queue)) && !except.includes(queue))
    .sort((a, b) => b.priority - a.priority || a.due - b.due)
    .slice(0, LANES_MAX)
    .map(({ queue, priority }) => ({ queue, priority, after: null }))
}

function oneStatement (session: Session, request: ClaimRequest): Statement {
  const { dialect, tables } = session
  const { worker, claim, backend, limit, most, start, tasks } = request
  const lanes = laneSource(session, request)
  const [ours, wanted] = [session.unseen('text'), session.unseen('bigint')]
  const rows = `alive CROSS JOIN ${lanes.sql} AS l CROSS JOIN LATERAL (
        SELECT * FROM (
          SELECT r.ctid AS place, r.due, r.seq FROM ${tables.results} r
          WHERE r.backend = ${ours} AND r.queue = l.queue AND r.priority = l.priority AND r.claimable AND ${quarantine(request)}
            AND (r.due, r.seq) > (l.due, l.seq) AND r.due <= (SELECT at FROM n) AND ${dialect.isIn('r.task', 'text', session.sight)}
          ORDER BY r.due, r.seq LIMIT ${boundOf(most ?? limit)} ${dialect.skipLocked}
        ) AS next LIMIT ${wanted}
      ) AS c
      WHERE ${notPaused(tables, ours, 'l.queue')}`
  const picked = most === undefined
    ? `picked AS MATERIALIZED (SELECT c.place FROM ${rows} ORDER BY l.priority DESC, c.due, c.seq LIMIT ${wanted})`
    : `found AS MATERIALIZED (SELECT c.place, l.queue, l.priority, c.due, c.seq FROM ${rows}),
    ${CUT},
    picked AS MATERIALIZED (SELECT f.place FROM found f ${BEFORE_CUT} ORDER BY f.priority DESC, f.due, f.seq LIMIT ${wanted})`
  const sql = `
    WITH RECURSIVE ${lanes.ctes} n AS MATERIALIZED (SELECT ${dialect.now} AS at),
    alive AS MATERIALIZED (SELECT w.id FROM ${tables.workers} w, n WHERE w.id = ? AND w.lease_until > ${leaseMoment(session)} ${noneLimited(session, request)} FOR KEY SHARE OF w),
    ${picked},
    taken AS (
      UPDATE ${tables.results} AS r SET worker = ?, claim = ?, ${changes(dialect)}
      FROM n WHERE r.ctid = ANY (ARRAY(SELECT place FROM picked))
      RETURNING ${dialect.tuple(claimedColumns(dialect))}
    ),
    batch AS (
      INSERT INTO ${tables.claims} (worker, claim, backend, started, ids)
      SELECT ?, ?, ?, ?, ${dialect.ids('t.id', 't.priority DESC, t.due, t.seq')} FROM taken t HAVING count(*) > 0
    )
    SELECT * FROM taken`
  return [sql, [...lanes.before, worker, ...limitedBindings(request), ...lanes.bindings, backend, dialect.list(tasks), most ?? limit, backend, ...(most === undefined ? [] : [most]), limit, worker, claim, worker, claim, backend, start]]
}

/**
 * What the planner is told of the limit. Hidden from it, it would take a limit for a tenth of all rows, and could sort them;
 * and the limit itself makes it think each claim in need of a plan of its own, which takes it longer than 50 rows do. A few
 * bounds make a few texts, each planned once. Rows are locked as they are pulled: no more than are wanted.
 */
function boundOf (limit: number): number {
  let bound = BOUND_FACTOR
  while (bound < limit) bound *= BOUND_FACTOR
  return bound
}

const BOUND_FACTOR = 32

/** The moment that a lease is compared with; the claim's own, where no test has moved the time of tasks. */
function leaseMoment ({ dialect, realNow }: Session): string {
  return dialect.now === realNow ? 'n.at' : realNow
}

interface LaneSource { readonly ctes: string, readonly before: unknown[], readonly sql: string, readonly bindings: unknown[] }

/** Lanes that were named, with their cursors; or all that there are, each from its start. */
function laneSource (session: Session, { backend, lanes, quarantined = false }: ClaimRequest): LaneSource {
  const { dialect } = session
  if (isNamed(lanes)) {
    const source = dialect.rows(LANE, session.sight)
    return { ctes: '', before: [], sql: source.sql, bindings: source.bind(laneValues(lanes)) }
  }
  const { ctes, bindings } = laneCtes(session, backend, quarantined)
  const among = dialect.isIn('queue', 'text', session.sight)
  const found = `(SELECT queue, priority, ${START}::bigint AS due, ${START}::bigint AS seq FROM lane
    WHERE priority IS NOT NULL AND (${session.unseen('boolean')} OR ${among}) AND NOT (${among}))`
  return { ctes: `${ctes},`, before: bindings, sql: found, bindings: [lanes.only === null, dialect.list(lanes.only ?? []), dialect.list(lanes.except)] }
}

// What a try took whose answer was lost: without this its rows would wait until a renewal finds the claim.
export function takenBy ({ dialect, tables }: Session, { worker, claim }: Token): Statement {
  const ids = dialect.elements('c.ids')
  return [`
    SELECT ${dialect.tuple(claimedColumns(dialect))} FROM (
      SELECT r.* FROM ${tables.claims} c CROSS JOIN ${ids.from} JOIN ${tables.results} r ON r.id = ${ids.id}
      WHERE c.worker = ? AND c.claim = ? AND r.status = 'RUNNING' AND r.worker = c.worker AND r.claim = c.claim
    ) AS taken`, [worker, claim]]
}
