import type { ClaimRequest } from '../store.js'
import type { Dialect } from '../dialects/dialect.js'
import type { Session } from '../session.js'
import type { Tables } from '../tables.js'
import { WORKER_IDS_MAX } from '../../core/limits.js'
import { limitedScope } from './lanes.js'

// The pieces of SQL that each kind of claim is made of.

// What a claim changes. The attempt is charged now, so that none can be forgotten; handing a row back gives it back.
export function changes (dialect: Dialect, row = 'r', at = 'n.at'): string {
  return changed(dialect, row, at).map(([column, sql]) => `${column} = ${sql}`).join(', ')
}

/** The same as columns to select, of a row that is still to be changed. */
export function asChanged (dialect: Dialect): string {
  return changed(dialect, 'r', 'n.at').map(([column, sql]) => `${sql} AS ${column}`).join(', ')
}

function changed (dialect: Dialect, row: string, at: string): ReadonlyArray<readonly [column: string, sql: string]> {
  return [
    ['status', "'RUNNING'"],
    ['claimable', 'false'],
    ['attempts', `${row}.attempts + 1`],
    ['started_at', `coalesce(${row}.started_at, ${at})`],
    ['last_attempted_at', at],
    ['worker_ids', `CASE WHEN ${row}.worker IS NULL THEN ${row}.worker_ids WHEN ${row}.worker_ids IS NULL THEN '["' || ${row}.worker || '"]'
      ELSE ${dialect.dropLast(`(${dialect.room(`${row}.worker_ids`, WORKER_IDS_MAX - 1)})`)} || ',"' || ${row}.worker || '"]' END`],
    ['unique_held', `CASE WHEN ${row}.unique_ready THEN NULL ELSE ${row}.unique_held END`]
  ]
}

/** The first last row of a lane that gave as many rows as it may: behind it there could be another of that lane. */
export const CUT = `cut AS MATERIALIZED (
    SELECT -g.priority AS rank, g.due, g.seq FROM (
      SELECT found.*, row_number() OVER (PARTITION BY queue, priority ORDER BY due, seq) AS nth FROM found
    ) AS g WHERE g.nth = ? ORDER BY 1, 2, 3 LIMIT 1
  )`
export const BEFORE_CUT = 'WHERE NOT EXISTS (SELECT 1 FROM cut c WHERE (-f.priority, f.due, f.seq) > (c.rank, c.due, c.seq))'

// One index look-up, asked once a statement.
export function noneLimited (session: Session, { unlessLimited, quarantined = false }: ClaimRequest): string {
  return unlessLimited === true ? `AND NOT EXISTS (SELECT 1 ${limitedScope(session, quarantined)})` : ''
}

export function limitedBindings ({ unlessLimited, backend }: ClaimRequest): string[] {
  return unlessLimited === true ? [backend] : []
}

/** Asked by the claim itself: the queue may have been paused since its rows were looked for. */
export function notPaused ({ queues }: Tables, backend: string, queue: string): string {
  return `NOT EXISTS (SELECT 1 FROM ${queues} q WHERE q.backend = ${backend} AND q.name = ${queue} AND q.paused_at IS NOT NULL)`
}

export function quarantine ({ quarantined }: Pick<ClaimRequest, 'quarantined'>): string {
  return quarantined === true ? 'r.quarantined' : 'NOT r.quarantined'
}
