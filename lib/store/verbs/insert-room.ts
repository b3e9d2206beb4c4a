import { createHash } from 'node:crypto'
import type { NewRow } from '../store.js'
import type { Run, Session } from '../session.js'
import { QUEUE_FULL } from '../../core/errors.js'
import { findStanding } from './insert-unique.js'
import { takeTurn } from './turn.js'

/** A queue that may hold so many READY rows, and those that are to come. */
interface Bound { readonly backend: string, readonly queue: string, readonly max: number, readonly rows: NewRow[] }

/** The bounds that these rows meet; most meet none. */
export function boundsOf (rows: readonly NewRow[]): Bound[] {
  const bounds = new Map<string, Bound>()
  for (const row of rows) {
    const { backend, queue, maxReady: max } = row
    if (max === null) continue
    const bound = bounds.get(queue) ?? { backend, queue, max, rows: [] }
    bound.rows.push(row)
    bounds.set(queue, bound)
  }
  // Who waits for several queues does so in one order.
  return [...bounds.values()].sort((a, b) => a.queue < b.queue ? -1 : 1)
}

/**
 * Keep others from storing into these queues until the transaction of ours ends: what is counted then stays true. Its
 * first statements.
 */
export async function lockQueues (session: Session, run: Run, bounds: readonly Bound[]): Promise<void> {
  const { dialect, tables } = session
  if (dialect.singleWriter) return await takeTurn(session, run)
  for (const { backend, queue } of bounds) await run('SELECT pg_advisory_xact_lock(?::bigint)', [lockOf(`${tables.schema ?? ''}.${tables.prefix} ${backend} ${queue}`)])
}

/**
 * Rows that add none are let pass: those that an earlier try has stored, and those that meet a held unique key.
 * @returns the ids of the latter
 * @throws FST_TASKS_QUEUE_FULL
 */
export async function refuseFull (session: Session, run: Run, bounds: readonly Bound[]): Promise<ReadonlySet<string>> {
  const duplicates = new Set<string>()
  for (const bound of bounds) {
    const { queue, max, rows } = bound
    const over = await readyIn(session, run, bound, max) + rows.length - max
    if (over <= 0) continue
    const met = await duplicatesOf(session, run, rows)
    if (over > met.length + await storedOf(session, run, rows)) throw new QUEUE_FULL(queue, max)
    for (const id of met) duplicates.add(id)
  }
  return duplicates
}

/** For when a row that was let pass has been stored after all: what stood in its way had ended. @throws FST_TASKS_QUEUE_FULL */
export async function refuseOverfull (session: Session, run: Run, bounds: readonly Bound[]): Promise<void> {
  for (const bound of bounds) {
    if (await readyIn(session, run, bound, bound.max + 1) > bound.max) throw new QUEUE_FULL(bound.queue, bound.max)
  }
}

/** READY rows, counted no further than the limit: the index is read, so many entries of it. */
async function readyIn ({ tables: { results } }: Session, run: Run, { backend, queue }: Bound, limit: number): Promise<number> {
  const [record] = await run(`
    WITH RECURSIVE reason (name) AS (
      SELECT (SELECT min(parked) FROM ${results} WHERE backend = ? AND parked IS NOT NULL)
      UNION ALL
      SELECT (SELECT min(parked) FROM ${results} WHERE backend = ? AND parked > reason.name) FROM reason WHERE reason.name IS NOT NULL
    )
    SELECT (SELECT count(*) FROM (SELECT 1 FROM ${results} WHERE backend = ? AND queue = ? AND claimable AND NOT quarantined LIMIT ?) AS free)
      + (SELECT count(*) FROM (SELECT 1 FROM reason JOIN ${results} r ON r.backend = ? AND r.parked = reason.name AND r.queue = ? LIMIT ?) AS held) AS ready`, [backend, backend, backend, queue, limit, backend, queue, limit])
  return Math.min(Number(record?.['ready']), limit)
}

/** How many an earlier try, whose answer was lost, has stored. */
async function storedOf ({ dialect, tables }: Session, run: Run, rows: readonly NewRow[]): Promise<number> {
  const [stored] = await run(`SELECT count(*) AS known FROM ${tables.results} WHERE ${dialect.isIn('id', 'uuid')}`, [dialect.list(rows.map(({ id }) => id))])
  return Number(stored?.['known'])
}

/** Those that meet a held unique key, or each other, and bring no row into the queue. */
async function duplicatesOf (session: Session, run: Run, rows: readonly NewRow[]): Promise<string[]> {
  const seen = new Set<string>()
  const found: string[] = []
  for (const row of rows) {
    if (row.unique === null) continue
    const key = `${row.task} ${row.unique.key}`
    const standing = seen.has(key) ? null : await findStanding(session, row, row.unique, run)
    if (standing?.row.id === row.id) continue // stored before
    const moves = standing?.row.status === 'READY' && standing.row.queue !== row.queue && row.unique.onConflict === 'replace'
    if (seen.has(key) || (standing !== null && !standing.expired && !moves)) found.push(row.id)
    seen.add(key)
  }
  return found
}

function lockOf (text: string): string {
  return String(createHash('sha256').update(`fastify-tasks room ${text}`).digest().readBigInt64BE(0))
}
