import { createHash } from 'node:crypto'
import type { LimitedClaim, LimitedClaimRequest, LimitedHead } from '../store.js'
import type { Run, Session } from '../session.js'
import { LIMIT_BUSY_MS } from '../../core/limits.js'
import { decodeLimits } from '../limits.js'
import { batchOf, changes, CLAIMED, inOrder, toClaimed } from './claim.js'
import { Limits, namesOf, type Candidate } from './limited-room.js'

// Groups of one claim: more would make its transaction long.
const GROUPS_MAX = 50

/**
 * Claim rows that have limits. What a limit allows is counted and taken by one worker at a time: on PostgreSQL under an
 * advisory lock of the transaction for each limit, which is tried and never waited for, so that no two claims can
 * deadlock, and dies with the connection; SQLite has one writer. The counts are read by a statement of their own after
 * the lock was taken: it sees what its last holder committed.
 */
export async function claimLimited (session: Session, request: LimitedClaimRequest): Promise<LimitedClaim> {
  const { tasks, limit } = request
  const { heads } = request
  if (heads.length === 0 || limit < 1 || tasks.length === 0) return { rows: [], nextIn: null }
  const seen = await Limits.read(session, null, request, heads)
  const all = heads.filter((head) => seen.hasRoom(head))
  const open = all.slice(0, Math.min(limit, GROUPS_MAX))
  if (open.length === 0) return { rows: [], nextIn: seen.nextIn }
  const { value } = await session.transact('claim limited tasks', async (run) => await claimOf(session, run, request, open))
  // Somebody was quicker where these gave less than there was room for: there are others.
  const others = all.length > open.length && value.rows.length < limit ? LIMIT_BUSY_MS : null
  const waits = [seen.nextIn, value.nextIn, others].filter((wait) => wait !== null)
  return { rows: value.rows, nextIn: waits.length === 0 ? null : Math.min(...waits) }
}

async function claimOf (session: Session, run: Run, request: LimitedClaimRequest, heads: readonly LimitedHead[]): Promise<LimitedClaim> {
  const { dialect, tables } = session
  // A stricter level would count as things were before the lock.
  await run(dialect.singleWriter ? dialect.beginWrite(tables.meta) : 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED')
  const locked = dialect.singleWriter ? heads : await lock(session, run, request, heads)
  const busy = locked.length < heads.length ? LIMIT_BUSY_MS : null
  if (locked.length === 0) return { rows: [], nextIn: busy }
  const clock = dialect.leaseClock()
  // Fenced as a claim is: who takes the lease away waits for this.
  const alive = await run(`SELECT w.id FROM ${tables.workers} w WHERE w.id = ? AND w.lease_until > ${clock.now} ${dialect.singleWriter ? '' : 'FOR KEY SHARE'}`, [request.worker, ...clock.bound])
  if (alive.length === 0) return { rows: [], nextIn: null }
  const limits = await Limits.read(session, run, request, locked)
  const chosen = limits.choose(await candidates(session, run, request, locked, limits), request.limit)
  const taken = chosen.length === 0 ? [] : inOrder(await take(session, run, request, chosen))
  if (taken.length > 0) {
    const ids = new Set(taken.map(([id]) => id as string))
    await run(...batchOf(session, { ...request, start: taken.length }, [...ids]))
    await limits.write(run, chosen.filter(({ id }) => ids.has(id)))
  }
  const nextIn = limits.nextIn === null ? busy : Math.min(limits.nextIn, busy ?? Infinity)
  return { rows: taken.map((tuple) => ({ ...toClaimed(tuple, request), limited: true })), nextIn }
}

/** The groups of which every limit could be locked. */
async function lock ({ dialect, tables }: Session, run: Run, request: LimitedClaimRequest, heads: readonly LimitedHead[]): Promise<LimitedHead[]> {
  const scope = `${tables.schema ?? ''}.${tables.prefix} ${request.backend}`
  const names = [...new Set(heads.flatMap((head) => namesOf(head, request.queues)))].sort()
  const source = dialect.rows([['name', 'text'], ['lock', 'bigint']])
  const rows = await run(`SELECT i.name, pg_try_advisory_xact_lock(i.lock) AS got FROM ${source.sql} AS i`, source.bind(names.map((name) => [name, lockOf(`${scope} ${name}`)])))
  const got = new Set(rows.filter((row) => row['got'] === true).map((row) => row['name'] as string))
  return heads.filter((head) => namesOf(head, request.queues).every((name) => got.has(name)))
}

function lockOf (text: string): string {
  return String(createHash('sha256').update(`fastify-tasks limit ${text}`).digest().readBigInt64BE(0))
}

/** The first rows of each group, and of a key that is full the retry that holds it. */
async function candidates (session: Session, run: Run, request: LimitedClaimRequest, heads: readonly LimitedHead[], limits: Limits): Promise<Candidate[]> {
  const { dialect, tables } = session
  const { backend, tasks, quarantined = false, before } = request
  const bindings: unknown[] = []
  const parts: string[] = []
  const bound = before === null ? '' : 'AND (r.priority > ? OR (r.priority = ? AND r.due <= ?))'
  for (const head of heads) {
    const room = Math.min(request.limit, limits.roomOf(head))
    const key = head.limits.key
    // Where the key is full, it may be held by rows that wait for their retry: these come by the index of the holders.
    if (room < 1 && key === null) continue
    const found = room < 1 ? "r.holds AND r.concurrency_key = ? AND r.status = 'READY' AND r.limit_group = ?" : 'r.waiting = ?'
    parts.push(`SELECT * FROM (
      SELECT r.id, r.queue, r.priority, r.due, r.seq, r.limits, r.holds FROM ${tables.results} r
      WHERE r.backend = ? AND ${found} AND r.due <= ${dialect.now}
        AND ${quarantined ? '' : 'NOT '}r.quarantined AND ${dialect.isIn('r.task', 'text')} ${bound}
      ORDER BY r.priority DESC, r.due, r.seq LIMIT ?) AS g${parts.length}`)
    bindings.push(backend, ...(room < 1 ? [key] : []), head.group, dialect.list(tasks), ...(before === null ? [] : [before.priority, before.priority, before.due]), Math.max(1, room))
  }
  if (parts.length === 0) return []
  const records = await run(parts.join(' UNION ALL '), bindings)
  records.sort((a, b) => Number(b['priority']) - Number(a['priority']) || Number(a['due']) - Number(b['due']) || Number(a['seq']) - Number(b['seq']))
  return records.map((record) => ({
    id: record['id'] as string,
    queue: record['queue'] as string,
    holds: record['holds'] === true || record['holds'] === 1,
    limits: decodeLimits(record['limits'] as string)
  }))
}

async function take (session: Session, run: Run, { worker, claim }: LimitedClaimRequest, chosen: readonly Candidate[]): Promise<unknown[][]> {
  const { dialect, tables } = session
  return await run.tuples(`
    UPDATE ${tables.results} AS r SET worker = ?, claim = ?, ${changes(dialect)}, parked = NULL, waiting = NULL,
      holds = CASE WHEN r.concurrency_key IS NULL THEN NULL ELSE true END
    FROM (SELECT ${dialect.now} AS at) AS n
    WHERE ${dialect.isIn('r.id', 'uuid')} AND r.status = 'READY' AND NOT r.claimable
    RETURNING ${dialect.tuple(CLAIMED)}`, [worker, claim, dialect.list(chosen.map(({ id }) => id))])
}
