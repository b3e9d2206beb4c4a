import type { Session } from '../session.js'
import { LIMIT_ROWS_MAX } from '../../core/limits.js'
import { QUEUE_GROUP } from '../limits.js'

/**
 * Put ready rows of queues that have limits behind them: rows that were stored before there was a limit. Answers how many.
 * Each queue has its share of a call, so that a long one does not keep the others waiting.
 */
export async function limitQueues (session: Session, backend: string, queues: readonly string[]): Promise<number> {
  let moved = 0
  for (const [place, queue] of queues.entries()) {
    const share = Math.ceil((LIMIT_ROWS_MAX - moved) / (queues.length - place))
    if (share > 0) moved += await limitQueue(session, backend, queue, share)
  }
  return moved
}

/** The first ones, in the order of claims: each part from an index that has just these rows in this order. */
async function limitQueue (session: Session, backend: string, queue: string, limit: number): Promise<number> {
  const { dialect, tables } = session
  const parts = ['NOT r.quarantined', 'r.quarantined'].map((part, place) => `
    SELECT * FROM (
      SELECT r.id, r.priority, r.due, r.seq FROM ${tables.results} r
      WHERE r.backend = ? AND r.queue = ? AND r.claimable AND ${part} ORDER BY r.priority DESC, r.due, r.seq LIMIT ?
    ) AS p${place}`)
  const first = `SELECT f.id FROM (${parts.join(' UNION ALL ')}) AS f ORDER BY f.priority DESC, f.due, f.seq LIMIT ?`
  const { rows } = await session.write('put tasks behind the limits of their queue', `
    UPDATE ${tables.results} SET claimable = false, parked = 'limit', waiting = queue || '${QUEUE_GROUP}', limit_group = queue || '${QUEUE_GROUP}', limits = '{}'
    WHERE ${dialect.isAmong('id', first)} AND status = 'READY' AND limit_group IS NULL RETURNING id`, [backend, queue, limit, backend, queue, limit, limit])
  return rows.length
}
