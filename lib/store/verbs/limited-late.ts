import type { LimitedClaimRequest } from '../store.js'
import type { Run, Session } from '../session.js'
import { RATE_AHEAD_MAX_MS } from '../../core/limits.js'
import { marginOf, parseRateLog, withLaterStarts } from '../../core/rate.js'
import { locksOf } from './limited-locks.js'
import { writeRates } from './limited-rates.js'
import { takeTurn } from './turn.js'

/** Starts that rates have counted in a claim. */
export interface Started {
  /** By the name of the limit. */
  readonly counts: ReadonlyMap<string, { readonly count: number, readonly every: number }>
  /** As of this moment of the database's clock. */
  readonly at: number
  /** When that was, or a little before, by this process's monotonic clock. */
  readonly sentAt: number
}

// As often a process that stands still again and again puts off its starts; then it starts all the same.
const TRIES_MAX = 3

/**
 * A rate counts claims, and its user sees starts. Where more lay between the two than the rate has a margin for, in a
 * process that stood still or behind a slow disk or network, those that are to start now are counted as of now: else the
 * next, which may come without delay, could start too soon after them.
 */
export async function countLater (session: Session, { backend }: LimitedClaimRequest, started: Started): Promise<void> {
  let { at, sentAt } = started
  let allowed = 0
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const late = performance.now() - sentAt
    const counts = new Map([...started.counts].filter(([, { every }]) => late - allowed > marginOf(every)))
    if (counts.size === 0) return
    // This takes a while as well, and they are counted so much ahead of it: by one time of the rate at first, since a process
    // that stood still once need not do so again, and then by what it took.
    const shortest = Math.min(...[...counts.values()].map(({ every }) => every))
    allowed = Math.min(Math.ceil(late), tries === 0 ? shortest : Infinity, RATE_AHEAD_MAX_MS)
    try {
      const { value } = await session.transact('count starts', async (run) => {
        await lock(session, run, backend, [...counts.keys()])
        sentAt = performance.now()
        return await move(session, run, backend, { counts, from: at, ahead: allowed })
      })
      at = value
    } catch {
      return // what is claimed is to start: a rate that is kept a little less well is no reason to let it lie
    }
  }
}

async function lock (session: Session, run: Run, backend: string, names: readonly string[]): Promise<void> {
  const { dialect } = session
  if (dialect.singleWriter) return await takeTurn(session, run)
  // Waited for, and so in one order. Claims hold them for short transactions and wait for none.
  const locks = locksOf(session, backend, names)
  await run(`SELECT count(pg_advisory_xact_lock(i.lock)) FROM (SELECT * FROM ${locks.sql} AS l ORDER BY l.name) AS i`, locks.bindings)
}

async function move (session: Session, run: Run, backend: string, { counts, from, ahead }: { counts: Started['counts'], from: number, ahead: number }): Promise<number> {
  const { dialect, tables } = session
  const logs = await run(`
    SELECT n.at AS now, l.name, l.starts FROM (SELECT ${dialect.now} AS at) AS n
    LEFT JOIN ${tables.limits} l ON l.backend = ? AND ${dialect.isIn('l.name', 'text')}`, [backend, dialect.list([...counts.keys()])])
  const known = new Map(logs.map(({ name, starts }) => [name, starts as string | null]))
  const now = Number(logs[0]?.['now'])
  const to = now + ahead
  const moved = [...counts].map(([name, { count, every }]) => [name, withLaterStarts(parseRateLog(known.get(name)), now, count, every, { from, to })] as const)
  await writeRates(session, run, backend, new Map(moved), now)
  return to
}
