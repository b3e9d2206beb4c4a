import type { Pruned, PruneRequest } from '../store.js'
import type { Session } from '../session.js'
import { PRUNE_LOOK_ROWS } from '../../core/limits.js'
import { forgetReturned } from './returned.js'
import { CLOCK_SKEW_MS, firstIdOf } from './uuid-time.js'

/**
 * Delete finished rows, oldest first, one batch. No statement looks at more than `PRUNE_LOOK_ROWS` rows, and none but those
 * that it deletes is locked: old rows that are kept, however many, make the next batch begin behind them.
 */
export async function prune (session: Session, request: PruneRequest): Promise<Pruned> {
  if (agesOf(request).length === 0) return { deleted: 0, after: null }
  const { dialect, tables } = session
  const now = await clock(session)
  const part = await partOf(session, request, request.after ?? null, now)
  const [condition, bindings] = prunable(session, request, part, now)
  const { value: gone } = await session.transact('prune results', async (run) => {
    const gone = (await run(`
      DELETE FROM ${tables.results} WHERE ${dialect.isAmong('id', `SELECT r.id FROM ${tables.results} r WHERE ${condition} ORDER BY r.id LIMIT ? ${dialect.skipLocked}`)}
      RETURNING id`, [...bindings, request.limit])).map(({ id }) => id as string)
    if (gone.length > 0) await run(`DELETE FROM ${tables.tags} WHERE ${dialect.isIn('id', 'uuid')}`, [dialect.list(gone)])
    await forgetReturned(session, run, request.backend)
    await run(`DELETE FROM ${tables.limits} WHERE backend = ? AND until <= ?`, [request.backend, now])
    return gone
  })
  return { deleted: gone.length, after: gone.length === request.limit ? gone.sort().at(-1) as string : part.last }
}

/** How many rows a prune would delete. */
export async function countPrunable (session: Session, request: Omit<PruneRequest, 'limit' | 'after'>): Promise<number> {
  if (agesOf(request).length === 0) return 0
  const now = await clock(session)
  let total = 0
  for (let after: string | null = null, more = true; more;) {
    const part: Part = await partOf(session, request, after, now)
    const [condition, bindings] = prunable(session, request, part, now)
    const [record] = await session.read('count prunable results', `SELECT count(*) AS found FROM ${session.tables.results} r WHERE ${condition}`, bindings)
    total += Number(record?.['found'])
    after = part.last
    more = after !== null
  }
  return total
}

async function clock (session: Session): Promise<number> {
  const [record] = await session.read('read the clock', `SELECT ${session.dialect.now} AS at`)
  return Number(record?.['at'])
}

/** Ids behind `after`, up to `last`; where that is null, up to those that are too young. */
interface Part { readonly after: string, readonly last: string | null, readonly young: string }

// Bounded by id, which is in order of time, so that a prune never reads the rows that are too young. No index on
// finished_at: each finish would have to write to it.
async function partOf (session: Session, request: Omit<PruneRequest, 'limit'>, behind: string | null, now: number): Promise<Part> {
  const young = firstIdOf(now - Math.min(...agesOf(request).map(([, age]) => age)) + CLOCK_SKEW_MS)
  const after = behind ?? firstIdOf(0)
  const [record] = await session.read('look for old results', `
    SELECT x.id FROM ${session.tables.results} x WHERE x.id > ? AND x.id < ? ORDER BY x.id LIMIT 1 OFFSET ?`, [after, young, PRUNE_LOOK_ROWS - 1])
  return { after, last: record === undefined ? null : record['id'] as string, young }
}

function prunable ({ dialect }: Session, request: Omit<PruneRequest, 'limit'>, { after, last, young }: Part, now: number): [string, unknown[]] {
  const { backend, queues } = request
  const ages = agesOf(request)
  const conditions = [
    `r.backend = ? AND r.id > ? AND r.id ${last === null ? '<' : '<='} ?`,
    `(${ages.map(([status]) => `(r.status = '${status}' AND r.finished_at <= ?)`).join(' OR ')})`,
    // A key that was asked for a time is held for it, whatever becomes of the result.
    'NOT (r.unique_held IS NOT NULL AND r.unique_until IS NOT NULL AND r.unique_until > ?)'
  ]
  const bindings: unknown[] = [backend, after, last ?? young, ...ages.map(([, age]) => now - age), now]
  if (queues !== undefined) { conditions.push(dialect.isIn('r.queue', 'text')); bindings.push(dialect.list(queues)) }
  return [conditions.join(' AND '), bindings]
}

/** The statuses that are pruned at all, and from which age on. */
function agesOf ({ minAgeMs, failedMinAgeMs, cancelledMinAgeMs = minAgeMs }: Omit<PruneRequest, 'limit' | 'after'>): Array<[status: string, age: number]> {
  const ages: Array<[string, number | null]> = [['SUCCESSFUL', minAgeMs], ['FAILED', failedMinAgeMs], ['CANCELLED', cancelledMinAgeMs]]
  return ages.filter((entry): entry is [string, number] => entry[1] !== null)
}
