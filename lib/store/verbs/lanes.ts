import type { Lane, LaneHead, Lanes } from '../store.js'
import type { Session, Statement } from '../session.js'
import { PRIORITY_MAX, PRIORITY_MIN } from '../../core/limits.js'

export const START = -1 // before every `due` and every identity
export const LANE = [['queue', 'text'], ['priority', 'int'], ['due', 'bigint'], ['seq', 'bigint']] as const

export function laneValues (lanes: readonly Lane[]): unknown[][] {
  return lanes.map(({ queue, priority, after }) => [queue, priority, after?.due ?? START, after?.tie ?? START])
}

/**
 * The lanes that hold claimable rows, and the first of each: index look-ups alone, a few a lane, whatever number of rows
 * the lanes hold.
 */
export async function lanes (session: Session, { backend, quarantined = false, known = [], since = null }: LanesRequest): Promise<Lanes> {
  const [sql, bindings] = session.dialect.deadEntries ? fromCursors(session, backend, quarantined, known, since) : fromStart(session, backend, quarantined)
  const records = await session.read('look for ready tasks', sql, bindings, { plan: 'once' })
  const heads = (paused: boolean): LaneHead[] => records.filter((record) => record['due'] !== null && isTrue(record['paused']) === paused).map(toHead)
  const [record] = records
  const returned = JSON.parse((record?.['returned'] ?? '[]') as string) as ReadonlyArray<[string, number, number]>
  return {
    now: Number(record?.['now']),
    limited: isTrue(record?.['limited']),
    lanes: heads(false),
    paused: heads(true),
    returned: returned.map(([queue, priority, due]) => ({ queue, priority, due }))
  }
}

export interface LanesRequest {
  readonly backend: string
  readonly quarantined?: boolean
  readonly known?: readonly Lane[]
  readonly since?: number | null
}

function toHead ({ queue, priority, due, seq, task }: Record<string, unknown>): LaneHead {
  return { queue: queue as string, priority: Number(priority), due: Number(due), task: task as string, ...(seq !== undefined && seq !== null && { tie: Number(seq) }) }
}

function isTrue (value: unknown): boolean {
  return value === true || value === 1
}

const paused = (session: Session): string => `EXISTS (SELECT 1 FROM ${session.tables.queues} q WHERE q.backend = ${session.unseen('text')} AND q.name = l.queue AND q.paused_at IS NOT NULL)`
const limited = (session: Session, quarantined: boolean): string => `EXISTS (SELECT 1 ${limitedScope(session, quarantined)})`

/** Where an index holds what is there and nothing else. The outer row stands even without a lane, so that the clock always comes back. */
function fromStart (session: Session, backend: string, quarantined: boolean): Statement {
  const { dialect } = session
  const { scope, ctes, bindings } = laneCtes(session, backend, quarantined)
  return [`
    WITH RECURSIVE ${ctes}
    SELECT n.at AS now, n.limited, l.queue, l.priority, ${paused(session)} AS paused,
      (SELECT min(r.due) ${scope} AND r.queue = l.queue AND r.priority = l.priority) AS due,
      (SELECT r.task ${scope} AND r.queue = l.queue AND r.priority = l.priority ORDER BY r.due, r.seq LIMIT 1) AS task
    FROM (SELECT ${dialect.now} AS at, ${limited(session, quarantined)} AS limited) AS n LEFT JOIN lane l ON l.priority IS NOT NULL`,
  [...bindings, backend, backend, backend, backend]]
}

/**
 * Where dead rows stay in the index until they are vacuumed, which an old snapshot may put off for hours: lanes that are
 * known are looked at from their cursors, and others are looked for only between them, so that nothing is read that was
 * seen to be empty before.
 */
function fromCursors (session: Session, backend: string, quarantined: boolean, known: readonly Lane[], since: number | null): Statement {
  const { tables, dialect } = session
  const ours = session.unseen('text')
  const scope = `FROM ${tables.results} r WHERE r.backend = ${ours} AND r.claimable AND ${quarantined ? '' : 'NOT '}r.quarantined`
  const source = dialect.rows(LANE, session.sight)
  const queueBetween = (after: string, next: string): string => `CASE WHEN ${next} IS NULL THEN (SELECT min(r.queue) ${scope} AND r.queue > ${after})
    ELSE (SELECT min(r.queue) ${scope} AND r.queue > ${after} AND r.queue < ${next}) END`
  const priorityBetween = (lane: string, below: string): string => `(SELECT max(r.priority) ${scope} AND r.queue = ${lane}.queue AND r.priority < ${below} AND r.priority > ${lane}.above)`
  const sql = `
    WITH RECURSIVE known AS MATERIALIZED (SELECT queue, priority, due, seq FROM ${source.sql} AS k),
    known_queue AS MATERIALIZED (SELECT q.queue AS name, lead(q.queue) OVER (ORDER BY q.queue) AS next FROM (SELECT DISTINCT queue FROM known) AS q),
    queue_gap (after, next) AS (SELECT '', (SELECT min(name) FROM known_queue) UNION ALL SELECT name, next FROM known_queue),
    other_queue (name, next) AS (
      SELECT ${queueBetween('g.after', 'g.next')}, g.next FROM queue_gap g
      UNION ALL
      SELECT ${queueBetween('o.name', 'o.next')}, o.next FROM other_queue o WHERE o.name IS NOT NULL
    ),
    lane_gap (queue, below, above) AS (
      SELECT queue, priority, lead(priority, 1, ${PRIORITY_MIN - 1}) OVER (PARTITION BY queue ORDER BY priority DESC) FROM known
      UNION ALL SELECT queue, ${PRIORITY_MAX + 1}, max(priority) FROM known GROUP BY queue
      UNION ALL SELECT name, ${PRIORITY_MAX + 1}, ${PRIORITY_MIN - 1} FROM other_queue WHERE name IS NOT NULL
    ),
    other_lane (queue, priority, above) AS (
      SELECT g.queue, ${priorityBetween('g', 'g.below')}, g.above FROM lane_gap g
      UNION ALL
      SELECT o.queue, ${priorityBetween('o', 'o.priority')}, o.above FROM other_lane o WHERE o.priority IS NOT NULL
    )
    SELECT n.at AS now, n.limited, n.returned, l.queue, l.priority, l.due, l.seq, l.task, ${paused(session)} AS paused
    FROM (SELECT ${dialect.now} AS at, ${limited(session, quarantined)} AS limited, (
      SELECT json_agg(json_build_array(b.queue, b.priority, b.due))::text FROM (
        SELECT queue, priority, min(due) AS due FROM ${tables.returned} WHERE backend = ${ours} AND at >= ${session.unseen('bigint')} GROUP BY queue, priority
      ) AS b) AS returned) AS n
    LEFT JOIN (
      SELECT w.queue, w.priority, h.due, h.seq, h.task FROM (
        SELECT queue, priority, due, seq FROM known
        UNION ALL SELECT queue, priority, ${START}, ${START} FROM other_lane WHERE priority IS NOT NULL
      ) AS w
      CROSS JOIN LATERAL (
        SELECT r.due, r.seq, r.task ${scope} AND r.queue = w.queue AND r.priority = w.priority AND (r.due, r.seq) > (w.due, w.seq) ORDER BY r.due, r.seq LIMIT 1
      ) AS h
    ) AS l ON true`
  // In the order of the text: six of the recursions, the columns, the rows that came back, the heads.
  return [sql, [...source.bind(laneValues(known)), ...Array.from({ length: 6 }, () => backend), backend, backend, backend, since, backend]]
}

/** The CTEs of the skip scan: `lane (queue, priority)` has a row a lane, and one without a priority at the end of each queue. */
export function laneCtes (session: Session, backend: string, quarantined: boolean): { scope: string, ctes: string, bindings: string[] } {
  const scope = `FROM ${session.tables.results} r WHERE r.backend = ${session.unseen('text')} AND r.claimable AND ${quarantined ? '' : 'NOT '}r.quarantined`
  const ctes = `
    queue (name) AS (
      SELECT (SELECT min(r.queue) ${scope})
      UNION ALL
      SELECT (SELECT min(r.queue) ${scope} AND r.queue > queue.name) FROM queue WHERE queue.name IS NOT NULL
    ),
    lane (queue, priority) AS (
      SELECT queue.name, (SELECT max(r.priority) ${scope} AND r.queue = queue.name) FROM queue WHERE queue.name IS NOT NULL
      UNION ALL
      SELECT lane.queue, (SELECT max(r.priority) ${scope} AND r.queue = lane.queue AND r.priority < lane.priority) FROM lane WHERE lane.priority IS NOT NULL
    )`
  return { scope, ctes, bindings: [backend, backend, backend, backend] }
}

/** READY rows that have limits. */
export function limitedScope (session: Session, quarantined: boolean): string {
  return `FROM ${session.tables.results} l WHERE l.backend = ${session.unseen('text')} AND l.waiting IS NOT NULL AND ${quarantined ? '' : 'NOT '}l.quarantined`
}
