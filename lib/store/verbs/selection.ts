import type { Selection } from '../store.js'
import type { Session } from '../session.js'
import { isId } from './read.js'

// Rows of one statement, so that a change of a million holds no lock for long.
export const BATCH = 1_000

export interface Selected {
  readonly id: string
  /** It was enqueued under a unique key. */
  readonly keyed: boolean
  readonly finishedAt: number
}

/** The rows of a selection that are READY, `BATCH` at a time; what is done with them takes them out of it. */
export async function * readyBatches (session: Session, selection: Selection): AsyncGenerator<string[]> {
  const { sql, bindings } = readyOf(session, selection)
  for (let more = sql !== null; more;) {
    const rows = await session.read('select tasks', sql as string, bindings)
    if (rows.length > 0) yield rows.map(({ id }) => id as string)
    more = rows.length === BATCH
  }
}

/** The rows of a selection that have ended so, `BATCH` at a time, each once, whatever is done with them. */
export async function * endedBatches (session: Session, selection: Selection, status: 'FAILED' | 'CANCELLED'): AsyncGenerator<Selected[]> {
  const [condition, bindings] = conditionOf(session, selection, status)
  for (let after: string | null = null, more = condition !== null; more;) {
    const rows = await session.read('select tasks', `
      SELECT r.id, r.unique_key, r.finished_at FROM ${session.tables.results} r
      WHERE ${condition as string} ${after === null ? '' : 'AND r.id > ?'} ORDER BY r.id LIMIT ${BATCH}`, after === null ? bindings : [...bindings, after])
    if (rows.length > 0) yield rows.map(({ id, unique_key: key, finished_at: at }) => ({ id: id as string, keyed: key !== null, finishedAt: Number(at) }))
    after = rows.at(-1)?.['id'] as string
    more = rows.length === BATCH
  }
}

/**
 * The rows of a selection that are RUNNING, in the order of their ids: what the claims name, and hold by their tokens. Each
 * is looked up by its id: no index knows what runs, and it is few beside all that is kept.
 */
export async function runningOf (session: Session, selection: Selection): Promise<string[]> {
  const { dialect, tables } = session
  const [condition, bindings] = conditionOf(session, selection, 'RUNNING')
  if (condition === null) return []
  const held = dialect.elements('h.ids')
  const rows = await session.read('select tasks', `
    SELECT r.id FROM (SELECT ${held.id} AS id, h.worker, h.claim FROM ${tables.claims} h CROSS JOIN ${held.from} WHERE h.backend = ?) AS c
    ${dialect.lookUp(tables.results)} AND r.worker = c.worker AND r.claim = c.claim AND ${condition} ORDER BY r.id`, [selection.backend, ...bindings])
  return rows.map(({ id }) => id as string)
}

/** The rows of a selection that have this status; null where there can be none. */
export function conditionOf ({ tables }: Session, selection: Selection, status: 'READY' | 'RUNNING' | 'FAILED' | 'CANCELLED'): [string | null, unknown[]] {
  const conditions = [`r.backend = ? AND r.status = '${status}'`]
  const bindings: unknown[] = [selection.backend]
  if (status === 'FAILED') conditions.push('r.failed_at IS NOT NULL')
  if (status === 'CANCELLED') conditions.push('r.cancel_at IS NOT NULL')
  if ('id' in selection) return isId(selection.id) ? [[...conditions, 'r.id = ?'].join(' AND '), [...bindings, selection.id]] : [null, []]
  if (selection.status !== undefined && selection.status !== status) return [null, []]
  if (selection.queue !== undefined) { conditions.push('r.queue = ?'); bindings.push(selection.queue) }
  if (selection.task !== undefined) { conditions.push('r.task = ?'); bindings.push(selection.task) }
  if (selection.tag !== undefined) {
    // Rows are found by their tag, but for those that run: of these each is asked for it, by a sub-query that is no join.
    conditions.push(status === 'RUNNING' ? `(SELECT true FROM ${tables.tags} g WHERE g.tag = ? AND g.id = r.id)` : `r.id IN (SELECT g.id FROM ${tables.tags} g WHERE g.tag = ?)`)
    bindings.push(selection.tag)
  }
  return [conditions.join(' AND '), bindings]
}

// No index knows the status. What is READY is in one of these three; what has a tag is found by that.
const READY = ['r.claimable AND NOT r.quarantined', 'r.claimable AND r.quarantined', 'r.parked IS NOT NULL']

function readyOf (session: Session, selection: Selection): { sql: string | null, bindings: unknown[] } {
  const { results } = session.tables
  const [condition, bindings] = conditionOf(session, selection, 'READY')
  if (condition === null) return { sql: null, bindings }
  if ('tag' in selection && selection.tag !== undefined) return { sql: `SELECT r.id FROM ${results} r WHERE ${condition} LIMIT ${BATCH}`, bindings }
  const parts = READY.map((index, place) => `SELECT * FROM (SELECT r.id FROM ${results} r WHERE ${condition} AND ${index} LIMIT ${BATCH}) AS p${place}`)
  return { sql: `${parts.join(' UNION ALL ')} LIMIT ${BATCH}`, bindings: READY.flatMap(() => bindings) }
}
