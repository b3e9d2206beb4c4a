import type { ClaimedRow, ClaimRequest, Lane } from '../store.js'
import type { Dialect } from '../dialects/dialect.js'
import type { Session } from '../session.js'
import type { Tables } from '../tables.js'
import { columnsOf, returned, toRow } from '../row.js'

const START = -1 // before every `due` and every identity

/**
 * Take due rows in order and write down the batch. On PostgreSQL one statement; elsewhere a short transaction of which
 * the first statement writes.
 */
export async function claim (session: Session, request: ClaimRequest): Promise<ClaimedRow[]> {
  if (request.lanes.length === 0 || request.limit < 1 || request.tasks.length === 0) return []
  const { dialect } = session
  const records = dialect.writesInCtes
    ? (await session.write('claim tasks', ...oneStatement(session, request))).rows
    : (await session.transact('claim tasks', async (run) => {
        const taken = await run(...updateOnly(session, request))
        if (taken.length > 0) await run(...batchOf(session, request, inOrder(taken).map(({ id }) => id)))
        return taken
      })).value
  return inOrder(records).map((record) => ({
    ...toRow(record),
    claim: Number(record['claim']),
    cursor: { due: Number(record['due']), tie: Number(record['seq']) }
  }))
}

type Statement = [sql: string, bindings: unknown[]]

// What a claim changes. The attempt is charged now, so that none can be forgotten; handing a row back gives it back.
function changes (dialect: Dialect): string {
  return `status = 'RUNNING', claimable = ${literal(dialect, false)}, attempts = r.attempts + 1,
    started_at = coalesce(r.started_at, n.at), last_attempted_at = n.at,
    worker_ids = CASE WHEN r.worker IS NULL THEN r.worker_ids WHEN r.worker_ids IS NULL THEN '["' || r.worker || '"]'
      ELSE ${dialect.dropLast('r.worker_ids')} || ',"' || r.worker || '"]' END,
    unique_key = CASE WHEN r.unique_ready THEN NULL ELSE r.unique_key END`
}

function oneStatement (session: Session, request: ClaimRequest): Statement {
  const { dialect, tables } = session
  const lanes = dialect.rows(LANE)
  const sql = `
    WITH n AS MATERIALIZED (SELECT ${dialect.now} AS at),
    alive AS MATERIALIZED (SELECT w.id FROM ${tables.workers} w, n WHERE w.id = ? AND w.lease_until > n.at FOR KEY SHARE OF w),
    picked AS MATERIALIZED (
      SELECT c.place FROM alive CROSS JOIN ${lanes.sql} AS l CROSS JOIN LATERAL (
        SELECT r.ctid AS place, r.due, r.seq FROM ${tables.results} r
        WHERE r.backend = ? AND r.queue = l.queue AND r.priority = l.priority AND r.claimable AND ${quarantine(request)}
          AND (r.due, r.seq) > (l.due, l.seq) AND r.due <= (SELECT at FROM n) AND ${dialect.isIn('r.task', 'text')}
        ORDER BY r.due, r.seq LIMIT ? ${dialect.skipLocked}
      ) AS c
      WHERE ${notPaused(tables)}
      ORDER BY l.priority DESC, c.due, c.seq LIMIT ?
    ),
    taken AS (
      UPDATE ${tables.results} AS r SET worker = ?, claim = ?, ${changes(dialect)}
      FROM n WHERE r.ctid = ANY (ARRAY(SELECT place FROM picked))
      RETURNING r.*
    ),
    batch AS (
      INSERT INTO ${tables.claims} (worker, claim, backend, started, ids)
      SELECT ?, ?, ?, ?, ${dialect.jsonIds('t.id', 't.priority DESC, t.due, t.seq')} FROM taken t HAVING count(*) > 0
    )
    SELECT ${columnsOf('t')} FROM taken t`
  const { worker, claim, backend, limit, start, tasks } = request
  return [sql, [worker, ...lanes.bind(laneValues(request.lanes)), backend, dialect.list(tasks), limit, backend, limit, worker, claim, worker, claim, backend, start]]
}

// One writer at a time: rows need no locks. Each lane is a sub-query of its own, so that each stops at the limit.
function updateOnly (session: Session, request: ClaimRequest): Statement {
  const { dialect, tables } = session
  const { worker, claim, backend, limit, tasks } = request
  const bindings: unknown[] = []
  const picks = request.lanes.map((lane) => {
    bindings.push(backend, lane.queue, lane.priority, lane.after?.due ?? START, lane.after?.tie ?? START, dialect.list(tasks), backend, lane.queue, limit)
    return `SELECT * FROM (
      SELECT r.seq, r.priority, r.due FROM ${tables.results} r
      WHERE r.backend = ? AND r.queue = ? AND r.priority = ? AND r.claimable AND ${quarantine(request)}
        AND (r.due, r.seq) > (?, ?) AND r.due <= ${dialect.now} AND ${dialect.isIn('r.task', 'text')}
        AND NOT EXISTS (SELECT 1 FROM ${tables.queues} q WHERE q.backend = ? AND q.name = ? AND q.paused_at IS NOT NULL)
      ORDER BY r.due, r.seq LIMIT ?)`
  })
  const sql = `
    UPDATE ${tables.results} AS r SET worker = ?, claim = ?, ${changes(dialect)}
    FROM (SELECT ${dialect.now} AS at) AS n
    WHERE r.seq IN (SELECT seq FROM (${picks.join(' UNION ALL ')}) ORDER BY priority DESC, due, seq LIMIT ?)
      AND EXISTS (SELECT 1 FROM ${tables.workers} w WHERE w.id = ? AND w.lease_until > n.at)
    RETURNING ${returned(dialect)}`
  return [sql, [worker, claim, ...bindings, limit, worker]]
}

function batchOf ({ tables }: Session, { worker, claim, backend, start }: ClaimRequest, ids: unknown[]): Statement {
  return [`INSERT INTO ${tables.claims} (worker, claim, backend, started, ids) VALUES (?, ?, ?, ?, ?)`, [worker, claim, backend, start, JSON.stringify(ids)]]
}

const LANE = [['queue', 'text'], ['priority', 'int'], ['due', 'bigint'], ['seq', 'bigint']] as const

function laneValues (lanes: readonly Lane[]): unknown[][] {
  return lanes.map(({ queue, priority, after }) => [queue, priority, after?.due ?? START, after?.tie ?? START])
}

function quarantine ({ quarantined }: ClaimRequest): string {
  return quarantined === true ? 'r.quarantined' : 'NOT r.quarantined'
}

function notPaused (tables: Tables): string {
  return `NOT EXISTS (SELECT 1 FROM ${tables.queues} q WHERE q.backend = ? AND q.name = l.queue AND q.paused_at IS NOT NULL)`
}

function literal (dialect: Dialect, value: boolean): string {
  return dialect.name === 'postgres' ? String(value) : value ? '1' : '0'
}

// RETURNING promises no order.
function inOrder (records: Array<Record<string, unknown>>): Array<Record<string, unknown>> {
  return records.sort((a, b) => (b['priority'] as number) - (a['priority'] as number) || Number(a['due']) - Number(b['due']) || Number(a['seq']) - Number(b['seq']))
}
