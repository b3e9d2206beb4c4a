import type { LimitedClaim, LimitedClaimRequest, LimitedHead } from '../store.js'
import type { Run, Session } from '../session.js'
import { LIMIT_BUSY_MS } from '../../core/limits.js'
import { takenBy } from './claim.js'
import { changes } from './claim-terms.js'
import { claimedColumns, claimedRows } from './claimed.js'
import { batchOf } from './claims.js'
import { candidates, GROUPS_MAX } from './limited-candidates.js'
import { countLater, type Started } from './limited-late.js'
import { locksOf } from './limited-locks.js'
import { Limits, namesOf, type Candidate } from './limited-room.js'
import { takeTurn } from './turn.js'

/**
 * Claim rows that have limits, and rows of lanes in their turn. What a limit allows is counted and taken by one worker at
 * a time: on PostgreSQL under an advisory lock of the transaction for each limit, which is tried and never waited for, so
 * that no two claims can deadlock, and dies with the connection; SQLite has one writer. The counts are read by a
 * statement of their own after the lock was taken: it sees what its last holder committed.
 */
export async function claimLimited (session: Session, request: LimitedClaimRequest): Promise<LimitedClaim> {
  const { tasks, limit, heads, lanes = [] } = request
  if (heads.length + lanes.length === 0 || limit < 1 || tasks.length === 0) return { rows: [], nextIn: null }
  const seen = await Limits.read(session, null, request, heads)
  const all = seen.open(heads)
  // The first rows of all are among the first of as many groups.
  const open = all.slice(0, Math.min(limit, GROUPS_MAX))
  if (open.length === 0 && lanes.length === 0) return { rows: [], nextIn: seen.nextIn }
  const closed = heads.filter((head) => !all.includes(head))
  let sent = false
  const { value, tries } = await session.transact('claim limited tasks', async (run): Promise<Taken> => {
    await takeTurn(session, run)
    const earlier = sent ? await run.tuples(...takenBy(session, request)) : []
    sent = true
    if (earlier.length > 0) return { rows: claimedRows(earlier, request), nextIn: null }
    return await claimOf(session, run, request, { open, closed, until: all[open.length] ?? null })
  })
  if (value.started !== undefined) await countLater(session, request, value.started)
  // Somebody was quicker where these gave less than there was room for: there are others.
  const others = all.length > open.length && value.rows.length < limit ? LIMIT_BUSY_MS : null
  const waits = [seen.nextIn, value.nextIn, others].filter((wait) => wait !== null)
  return { rows: value.rows, nextIn: waits.length === 0 ? null : Math.min(...waits), ...(tries > 1 && value.rows.length === 0 && { unsure: true }) }
}

interface Taken extends LimitedClaim { readonly started?: Started }

interface Heads {
  readonly open: readonly LimitedHead[]
  /** Those that had no room: what shares a key with them may have to wait behind them. */
  readonly closed: readonly LimitedHead[]
  /** Rows before this place of the order; null for all. */
  readonly until: LimitedHead | null
}

async function claimOf (session: Session, run: Run, request: LimitedClaimRequest, { open, closed, until }: Heads): Promise<Taken> {
  const { dialect, tables } = session
  const locked = dialect.singleWriter ? open : await lock(session, run, request, open)
  const busy = locked.length < open.length ? LIMIT_BUSY_MS : null
  const waiting = [...closed, ...open.filter((head) => !locked.includes(head))]
  if (locked.length === 0 && (request.lanes ?? []).length === 0) return { rows: [], nextIn: busy }
  const clock = dialect.leaseClock()
  // Fenced as a claim is: who takes the lease away waits for this.
  const alive = await run(`SELECT w.id FROM ${tables.workers} w WHERE w.id = ? AND w.lease_until > ${clock.now} ${dialect.singleWriter ? '' : 'FOR KEY SHARE'}`, [request.worker, ...clock.bound], { plan: 'once' })
  if (alive.length === 0) return { rows: [], nextIn: null }
  const limits = await Limits.read(session, run, request, locked)
  const chosen = limits.choose(await candidates(session, run, request, { heads: locked, limits, until }), waiting, request.limit)
  const sentAt = performance.now()
  const taken = chosen.length === 0 ? [] : claimedRows(await take(session, run, request, chosen), request)
  let started: Started | undefined
  if (taken.length > 0) {
    const ids = new Set(taken.map(({ id }) => id))
    await run(...batchOf(session, { ...request, start: taken.length }, [...ids]), { plan: 'once' })
    const attempted = Math.max(...taken.map(({ lastAttemptedAt }) => lastAttemptedAt as number))
    const counts = limits.startsOf(chosen.filter(({ id }) => ids.has(id)))
    await limits.write(run, counts, attempted)
    if (counts.size > 0) started = { counts, at: attempted, sentAt }
  }
  const nextIn = limits.nextIn === null ? busy : Math.min(limits.nextIn, busy ?? Infinity)
  return { rows: taken, nextIn, ...(started !== undefined && { started }) }
}

/** The groups of which every limit could be locked. */
async function lock (session: Session, run: Run, request: LimitedClaimRequest, heads: readonly LimitedHead[]): Promise<readonly LimitedHead[]> {
  const names = [...new Set(heads.flatMap((head) => namesOf(head, request.queues)))].sort()
  if (names.length === 0) return heads
  const locks = locksOf(session, request.backend, names)
  const rows = await run(`SELECT i.name, pg_try_advisory_xact_lock(i.lock) AS got FROM ${locks.sql} AS i`, locks.bindings, { plan: 'once' })
  const got = new Set(rows.filter((row) => row['got'] === true).map((row) => row['name'] as string))
  return heads.filter((head) => namesOf(head, request.queues).every((name) => got.has(name)))
}

async function take (session: Session, run: Run, { worker, claim }: LimitedClaimRequest, chosen: readonly Candidate[]): Promise<unknown[][]> {
  const { dialect, tables } = session
  return await run.tuples(`
    UPDATE ${tables.results} AS r SET worker = ?, claim = ?, ${changes(dialect)}, parked = NULL, waiting = NULL,
      holds = CASE WHEN r.concurrency_key IS NULL THEN NULL ELSE true END
    FROM (SELECT ${dialect.now} AS at) AS n
    WHERE ${dialect.isIn('r.id', 'uuid', session.sight)} AND r.status = 'READY'
    RETURNING ${dialect.tuple(claimedColumns(dialect))}`, [worker, claim, dialect.list(chosen.map(({ id }) => id))], { plan: 'once' })
}
