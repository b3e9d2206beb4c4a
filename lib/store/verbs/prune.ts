import type { PruneRequest } from '../store.js'
import type { Session } from '../session.js'

// Ids carry the clock of the host that made them; a host may be this much ahead of the database.
const CLOCK_SKEW_MS = 24 * 3_600_000

/** Delete finished rows, oldest first, one batch. */
export async function prune (session: Session, request: PruneRequest): Promise<{ deleted: number, more: boolean }> {
  const { dialect, tables } = session
  const now = await clock(session)
  const [condition, bindings] = prunable(session, request, now)
  const { value } = await session.transact('prune results', async (run) => {
    const gone = await run(`
      DELETE FROM ${tables.results} WHERE id IN (SELECT r.id FROM ${tables.results} r WHERE ${condition} ORDER BY r.id LIMIT ? ${dialect.skipLocked})
      RETURNING id`, [...bindings, request.limit])
    if (gone.length > 0) await run(`DELETE FROM ${tables.tags} WHERE ${dialect.isIn('id', 'uuid')}`, [dialect.list(gone.map(({ id }) => id))])
    return gone.length
  })
  return { deleted: value, more: value === request.limit }
}

/** How many rows a prune would delete. */
export async function countPrunable (session: Session, request: Omit<PruneRequest, 'limit'>): Promise<number> {
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
  const { backend, minAgeMs, failedMinAgeMs, queues } = request
  const youngest = now - Math.min(minAgeMs, failedMinAgeMs) + CLOCK_SKEW_MS
  const conditions = [
    'r.backend = ? AND r.id < ?',
    "((r.status IN ('SUCCESSFUL', 'CANCELLED') AND r.finished_at <= ?) OR (r.status = 'FAILED' AND r.finished_at <= ?))"
  ]
  const bindings: unknown[] = [backend, firstIdOf(youngest), now - minAgeMs, now - failedMinAgeMs]
  if (queues !== undefined) { conditions.push(dialect.isIn('r.queue', 'text')); bindings.push(dialect.list(queues)) }
  return [conditions.join(' AND '), bindings]
}

/** The lowest UUIDv7 of a moment (RFC 9562, 5.7: 48 bits of epoch milliseconds first). */
function firstIdOf (ms: number): string {
  const hex = Math.max(0, Math.min(ms, 2 ** 48 - 1)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}
