import { createHash } from 'node:crypto'
import type { NewRow } from '../store.js'
import type { Run, Session } from '../session.js'
import { QUEUE_FULL } from '../../core/errors.js'

/** A queue that may hold so many READY rows, and those that are to come. */
interface Bound { readonly backend: string, readonly queue: string, readonly max: number, readonly ids: string[] }

/** The bounds that these rows meet; most meet none. */
export function boundsOf (rows: readonly NewRow[]): Bound[] {
  const bounds = new Map<string, Bound>()
  for (const { id, backend, queue, maxReady: max } of rows) {
    if (max === null) continue
    const bound = bounds.get(queue) ?? { backend, queue, max, ids: [] }
    bound.ids.push(id)
    bounds.set(queue, bound)
  }
  // Who waits for several queues does so in one order.
  return [...bounds.values()].sort((a, b) => a.queue < b.queue ? -1 : 1)
}

/**
 * Keep others from storing into these queues until the transaction of ours ends: what is counted then stays true. Its
 * first statements.
 */
export async function lockQueues ({ dialect, tables }: Session, run: Run, bounds: readonly Bound[]): Promise<void> {
  if (dialect.singleWriter) { await run(dialect.beginWrite(tables.meta)); return }
  // A stricter level would count as things were before the lock.
  await run('SET TRANSACTION ISOLATION LEVEL READ COMMITTED')
  for (const { backend, queue } of bounds) await run('SELECT pg_advisory_xact_lock(?::bigint)', [lockOf(`${tables.schema ?? ''}.${tables.prefix} ${backend} ${queue}`)])
}

/** @throws FST_TASKS_QUEUE_FULL */
export async function refuseFull ({ dialect, tables }: Session, run: Run, bounds: readonly Bound[]): Promise<void> {
  const { results } = tables
  for (const { backend, queue, max, ids } of bounds) {
    // Never counts further than the limit: the index is read, at most `max` entries of it.
    const [record] = await run(`
      WITH RECURSIVE reason (name) AS (
        SELECT (SELECT min(parked) FROM ${results} WHERE backend = ? AND parked IS NOT NULL)
        UNION ALL
        SELECT (SELECT min(parked) FROM ${results} WHERE backend = ? AND parked > reason.name) FROM reason WHERE reason.name IS NOT NULL
      )
      SELECT (SELECT count(*) FROM (SELECT 1 FROM ${results} WHERE backend = ? AND queue = ? AND claimable AND NOT quarantined LIMIT ?) AS free)
        + (SELECT count(*) FROM (SELECT 1 FROM reason JOIN ${results} r ON r.backend = ? AND r.parked = reason.name AND r.queue = ? LIMIT ?) AS held) AS ready`, [backend, backend, backend, queue, max, backend, queue, max])
    const over = Number(record?.['ready']) + ids.length - max
    if (over <= 0) continue
    // An earlier try whose answer was lost may have stored them.
    const [stored] = await run(`SELECT count(*) AS known FROM ${results} WHERE ${dialect.isIn('id', 'uuid')}`, [dialect.list(ids)])
    if (over > Number(stored?.['known'])) throw new QUEUE_FULL(queue, max)
  }
}

function lockOf (text: string): string {
  return String(createHash('sha256').update(`fastify-tasks room ${text}`).digest().readBigInt64BE(0))
}
