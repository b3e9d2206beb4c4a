import type { PruneRequest } from '../store.js'
import type { Session } from '../session.js'
import { CLOCK_SKEW_MS, firstIdOf } from './uuid-time.js'

/** Delete finished rows, oldest first, one batch. */
export async function prune (session: Session, request: PruneRequest): Promise<{ deleted: number, more: boolean }> {
  if (agesOf(request).length === 0) return { deleted: 0, more: false }
  const { dialect, tables } = session
  const now = await clock(session)
  const [condition, bindings] = prunable(session, request, now)
  const { value } = await session.transact('prune results', async (run) => {
    const gone = await run(`
      DELETE FROM ${tables.results} WHERE id IN (SELECT r.id FROM ${tables.results} r WHERE ${condition} ORDER BY r.id LIMIT ? ${dialect.skipLocked})
      RETURNING id`, [...bindings, request.limit])
    if (gone.length > 0) await run(`DELETE FROM ${tables.tags} WHERE ${dialect.isIn('id', 'uuid')}`, [dialect.list(gone.map(({ id }) => id))])
    await run(`DELETE FROM ${tables.limits} WHERE backend = ? AND until <= ?`, [request.backend, now])
    return gone.length
  })
  return { deleted: value, more: value === request.limit }
}

/** How many rows a prune would delete. */
export async function countPrunable (session: Session, request: Omit<PruneRequest, 'limit'>): Promise<number> {
  if (agesOf(request).length === 0) return 0
  const [condition, bindings] = prunable(session, request, await clock(session))
  const [record] = await session.read('count prunable results', `SELECT count(*) AS found FROM ${session.tables.results} r WHERE ${condition}`, bindings)
  return Number(record?.['found'])
}

async function clock (session: Session): Promise<number> {
  const [record] = await session.read('read the clock', `SELECT ${session.dialect.now} AS at`)
  return Number(record?.['at'])
}

// Bounded by id, which is in order of time, so that a prune never reads the rows that are too young. No index on
// finished_at: each finish would have to write to it.
function prunable ({ dialect }: Session, request: Omit<PruneRequest, 'limit'>, now: number): [string, unknown[]] {
  const { backend, queues } = request
  const ages = agesOf(request)
  const youngest = now - Math.min(...ages.map(([, age]) => age)) + CLOCK_SKEW_MS
  const conditions = ['r.backend = ? AND r.id < ?', `(${ages.map(([status]) => `(r.status = '${status}' AND r.finished_at <= ?)`).join(' OR ')})`]
  const bindings: unknown[] = [backend, firstIdOf(youngest), ...ages.map(([, age]) => now - age)]
  if (queues !== undefined) { conditions.push(dialect.isIn('r.queue', 'text')); bindings.push(dialect.list(queues)) }
  return [conditions.join(' AND '), bindings]
}

/** The statuses that are pruned at all, and from which age on. */
function agesOf ({ minAgeMs, failedMinAgeMs, cancelledMinAgeMs = minAgeMs }: Omit<PruneRequest, 'limit'>): Array<[status: string, age: number]> {
  const ages: Array<[string, number | null]> = [['SUCCESSFUL', minAgeMs], ['FAILED', failedMinAgeMs], ['CANCELLED', cancelledMinAgeMs]]
  return ages.filter((entry): entry is [string, number] => entry[1] !== null)
}
