import type { ListFilter } from '../store.js'
import type { Session } from '../session.js'
import { LIST_SKEW_ROWS_MAX } from '../../core/limits.js'
import { CLOCK_SKEW_MS, firstIdOf } from './uuid-time.js'

/** Ids from `from` on, below `below`; null where there is no bound. */
export interface Range {
  readonly below: string | null
  readonly from: string | null
}

/**
 * The ids that a list may find what it looks for under. Ids are in the order of the enqueues as far as the clocks of the
 * hosts agree with the database's, and a request may have held its enqueue back for a while: rows that lie this far
 * beyond a moment are looked at as well, up to a day, or a number of rows where there are as many.
 */
export async function rangeOf (session: Session, { after, enqueuedAfter, enqueuedBefore, finishedBefore }: ListFilter): Promise<Range> {
  const before = Math.min(enqueuedBefore ?? Infinity, finishedBefore ?? Infinity) // nothing ends before it is enqueued
  const below = before === Infinity ? null : await beyond(session, before, 1)
  const from = enqueuedAfter === undefined ? null : await beyond(session, enqueuedAfter, -1)
  return { below: after === undefined || (below !== null && below < after) ? below : after, from }
}

export function withinRange ({ below, from }: Range, id: string): [sql: string, bindings: unknown[]] {
  return [`${below === null ? '' : `AND ${id} < ?`} ${from === null ? '' : `AND ${id} >= ?`}`, [below, from].filter((bound) => bound !== null)]
}

async function beyond (session: Session, moment: number, direction: 1 | -1): Promise<string> {
  const [at, furthest] = [firstIdOf(moment), firstIdOf(moment + direction * CLOCK_SKEW_MS)]
  const [low, high] = direction === 1 ? [at, furthest] : [furthest, at]
  const [record] = await session.read('list results', `
    SELECT x.id FROM ${session.tables.results} x WHERE x.id >= ? AND x.id < ? ORDER BY x.id ${direction === 1 ? '' : 'DESC'} LIMIT 1 OFFSET ?`, [low, high, LIST_SKEW_ROWS_MAX])
  return record === undefined ? furthest : record['id'] as string
}
