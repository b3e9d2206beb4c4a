import type { LimitedClaimRequest, LimitedHead } from '../store.js'
import type { Run, Session } from '../session.js'
import type { Tables } from '../tables.js'
import { decodeLimits } from '../limits.js'
import { quarantine } from './claim-terms.js'
import { START } from './lanes.js'
import type { Candidate, Limits } from './limited-room.js'

export interface CandidatesRequest {
  readonly heads: readonly LimitedHead[]
  readonly limits: Limits
  /** Rows before this place of the order only; null for all. */
  readonly until: LimitedHead | null
}

/**
 * The first rows of each group and lane, in their order; of a key that is full the retries that hold it. They are locked:
 * what is chosen of them cannot change its limits before it is taken.
 */
export async function candidates (session: Session, run: Run, request: LimitedClaimRequest, { heads, limits, until }: CandidatesRequest): Promise<Candidate[]> {
  const parts = [
    ...heads.map((head) => ofGroup(session, request, head, limits)),
    ...(request.lanes ?? []).map((lane) => ofLane(session, request, lane))
  ].filter((part) => part !== null)
  if (parts.length === 0) return []
  // FOR UPDATE cannot stand in a UNION, but before it.
  const sql = `WITH ${parts.map(([text], index) => `g${index} AS (${text} ${session.dialect.skipLocked})`).join(', ')}
    ${parts.map((_, index) => `SELECT * FROM g${index}`).join(' UNION ALL ')}`
  const records = await run(sql, parts.flatMap(([, bindings]) => bindings))
  const found = records.map(toCandidate).sort((a, b) => compare(a, b))
  return until === null ? found : found.filter((candidate) => compare(candidate, until) < 0)
}

type Part = readonly [sql: string, bindings: unknown[]]

const COLUMNS = 'r.id, r.queue, r.priority, r.due, r.seq, r.limits, r.holds'
const ORDER = 'ORDER BY r.due, r.seq LIMIT ?'

function ofGroup ({ dialect, tables }: Session, request: LimitedClaimRequest, head: LimitedHead, limits: Limits): Part | null {
  const { backend, tasks, limit } = request
  const { group, queue, priority, limits: { key } } = head
  const room = Math.min(limit, limits.roomOf(head))
  // Where the key is full, it may be held by rows that wait for their retry: these come by the index of the holders.
  if (room < 1 && key === null) return null
  const found = room < 1 ? "r.holds AND r.concurrency_key = ? AND r.status = 'READY' AND r.limit_group = ?" : 'r.waiting = ?'
  return [`
    SELECT ${COLUMNS} FROM ${tables.results} r
    WHERE r.backend = ? AND ${found} AND r.priority = ? AND r.due <= ${dialect.now} AND ${quarantine(request)} AND ${dialect.isIn('r.task', 'text')}
      AND ${notPaused(tables)} ${ORDER}`,
  [backend, ...(room < 1 ? [key] : []), group, priority, dialect.list(tasks), backend, queue, Math.max(1, room)]]
}

function ofLane ({ dialect, tables }: Session, request: LimitedClaimRequest, { queue, priority, after }: NonNullable<LimitedClaimRequest['lanes']>[number]): Part {
  const { backend, tasks, limit } = request
  return [`
    SELECT ${COLUMNS} FROM ${tables.results} r
    WHERE r.backend = ? AND r.queue = ? AND r.priority = ? AND r.claimable AND ${quarantine(request)}
      AND (r.due, r.seq) > (?, ?) AND r.due <= ${dialect.now} AND ${dialect.isIn('r.task', 'text')}
      AND ${notPaused(tables)} ${ORDER}`,
  [backend, queue, priority, after?.due ?? START, after?.tie ?? START, dialect.list(tasks), backend, queue, limit]]
}

/** Asked again, and once a statement: the queue may have been paused since the rows were looked for. */
function notPaused (tables: Tables): string {
  return `NOT EXISTS (SELECT 1 FROM ${tables.queues} q WHERE q.backend = ? AND q.name = ? AND q.paused_at IS NOT NULL)`
}

function toCandidate (record: Record<string, unknown>): Candidate {
  return {
    id: record['id'] as string,
    queue: record['queue'] as string,
    priority: Number(record['priority']),
    due: Number(record['due']),
    tie: Number(record['seq']),
    holds: Boolean(record['holds']),
    limits: record['limits'] === null ? null : decodeLimits(record['limits'] as string)
  }
}

interface Place { readonly priority: number, readonly due: number, readonly tie: number }

/** The order in which rows are claimed. */
export function compare (a: Place, b: Place): number {
  return b.priority - a.priority || a.due - b.due || a.tie - b.tie
}
