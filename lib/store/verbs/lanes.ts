import type { Lanes } from '../store.js'
import type { Session } from '../session.js'
import type { Tables } from '../tables.js'

/**
 * The lanes that hold claimable rows, and when the first of each is due. An index skip scan: the cost is a few index
 * look-ups a lane, whatever number of rows the lanes hold.
 */
export async function lanes (session: Session, backend: string, quarantined: boolean): Promise<Lanes> {
  const { tables, dialect } = session
  const { scope, ctes, bindings } = laneCtes(session, backend, quarantined)
  // The outer row stands even where there is no lane, so that the database's clock always comes back.
  const records = await session.read('look for ready tasks', `
    WITH RECURSIVE ${ctes}
    SELECT n.at AS now, n.limited, l.queue, l.priority,
      (SELECT min(r.due) ${scope} AND r.queue = l.queue AND r.priority = l.priority) AS due
    FROM (SELECT ${dialect.now} AS at, EXISTS (SELECT 1 ${limitedScope(tables, quarantined)}) AS limited) AS n LEFT JOIN lane l ON l.priority IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM ${tables.queues} q WHERE q.backend = ? AND q.name = l.queue AND q.paused_at IS NOT NULL)`,
  [...bindings, backend, backend, backend], { plan: 'once' })
  const heads = records.filter(({ due }) => due !== null)
  return {
    now: Number(records[0]?.['now']),
    limited: Boolean(records[0]?.['limited']),
    lanes: heads.map(({ queue, priority, due }) => ({ queue: queue as string, priority: Number(priority), due: Number(due) }))
  }
}

/** The CTEs of the skip scan: `lane (queue, priority)` has a row a lane, and one without a priority at the end of each queue. */
export function laneCtes ({ tables }: Session, backend: string, quarantined: boolean): { scope: string, ctes: string, bindings: string[] } {
  const scope = `FROM ${tables.results} r WHERE r.backend = ? AND r.claimable AND ${quarantined ? '' : 'NOT '}r.quarantined`
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
export function limitedScope (tables: Tables, quarantined: boolean): string {
  return `FROM ${tables.results} l WHERE l.backend = ? AND l.waiting IS NOT NULL AND ${quarantined ? '' : 'NOT '}l.quarantined`
}
