import type { ClaimRequest } from '../store.js'
import type { Dialect } from '../dialects/dialect.js'
import type { Session } from '../session.js'
import { WORKER_IDS_MAX } from '../../core/limits.js'
import { limitedScope } from './lanes.js'

// The pieces of SQL that each kind of claim is made of.

export type Statement = [sql: string, bindings: unknown[]]

// What a claim changes. The attempt is charged now, so that none can be forgotten; handing a row back gives it back.
export function changes (dialect: Dialect): string {
  return `status = 'RUNNING', claimable = false, attempts = r.attempts + 1,
    started_at = coalesce(r.started_at, n.at), last_attempted_at = n.at,
    worker_ids = CASE WHEN r.worker IS NULL THEN r.worker_ids WHEN r.worker_ids IS NULL THEN '["' || r.worker || '"]'
      ELSE ${dialect.dropLast(`(${dialect.room('r.worker_ids', WORKER_IDS_MAX - 1)})`)} || ',"' || r.worker || '"]' END,
    unique_held = CASE WHEN r.unique_ready THEN NULL ELSE r.unique_held END`
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

export function quarantine ({ quarantined }: Pick<ClaimRequest, 'quarantined'>): string {
  return quarantined === true ? 'r.quarantined' : 'NOT r.quarantined'
}
