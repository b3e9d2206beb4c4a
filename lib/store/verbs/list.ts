import type { ListFilter, Row } from '../store.js'
import type { Session } from '../session.js'
import { columnsOf, toRow } from '../row.js'
import { LIST_CHUNKS, LIST_ROWS_MAX } from '../../core/limits.js'
import { rangeOf, type Range } from './list-range.js'
import { sourceOf, type Source } from './list-source.js'

/**
 * Newest first. `next` is the id to go on from, null at the end.
 *
 * Few columns are indexed, so that tasks run fast: rows are looked through by id, from what an index gives in that order,
 * a chunk a statement. Where what is asked for is rare among them, a page may come back short, with a `next`: no call
 * looks at more than `LIST_ROWS_MAX` rows.
 */
export async function list (session: Session, filter: ListFilter): Promise<{ rows: Row[], next: string | null }> {
  const { limit } = filter
  const source = await sourceOf(session, filter)
  const conditions = conditionsOf(session, filter)
  const found: Row[] = []
  let range = await rangeOf(session, filter)
  for (let looked = 0, step = 0; looked < LIST_ROWS_MAX; step++) {
    const chunk = Math.max(limit + 1, LIST_CHUNKS[Math.min(step, LIST_CHUNKS.length - 1)] as number)
    found.push(...await look(session, source, range, conditions, { chunk, limit: limit + 1 - found.length }))
    if (found.length > limit) return { rows: found.slice(0, limit), next: (found[limit - 1] as Row).id }
    const last = await endOf(session, source, range, chunk)
    if (last === null) return { rows: found, next: null }
    range = { ...range, below: last }
    looked += chunk
  }
  return { rows: found, next: range.below }
}

type Conditions = readonly [sql: string, bindings: unknown[]]

/** The rows of one chunk of the source that fit. */
async function look (session: Session, source: Source, range: Range, [condition, values]: Conditions, { chunk, limit }: { chunk: number, limit: number }): Promise<Row[]> {
  const { dialect, tables } = session
  const [ids, bindings] = source.select(range, source.whole ? '*' : 'x.id')
  const from = source.whole ? `(${ids} LIMIT ?) AS r WHERE true` : `(${ids} LIMIT ?) AS c ${dialect.lookUp(tables.results)}`
  const records = await session.read('list results', `SELECT ${columnsOf('r')} FROM ${from} AND ${condition} ORDER BY r.id DESC LIMIT ?`, [...bindings, chunk, ...values, limit])
  return records.map(toRow)
}

/** The last id of a chunk; null where the source ended before. */
async function endOf (session: Session, source: Source, range: Range, chunk: number): Promise<string | null> {
  const [ids, bindings] = source.select(range, 'x.id')
  const [record] = await session.read('list results', `${ids} LIMIT 1 OFFSET ?`, [...bindings, chunk - 1])
  return record === undefined ? null : record['id'] as string
}

function conditionsOf ({ tables }: Session, filter: ListFilter): Conditions {
  const conditions = ['r.backend = ?']
  const bindings: unknown[] = [filter.backend]
  const where = (condition: string, value: unknown): void => {
    if (value === undefined) return
    conditions.push(condition)
    bindings.push(value)
  }
  where('r.status = ?', filter.status)
  where('r.queue = ?', filter.queue)
  where('r.task = ?', filter.task)
  where(`EXISTS (SELECT 1 FROM ${tables.tags} g WHERE g.tag = ? AND g.id = r.id)`, filter.tag)
  where('r.enqueued_at >= ?', filter.enqueuedAfter)
  where('r.enqueued_at < ?', filter.enqueuedBefore)
  where('r.finished_at >= ?', filter.finishedAfter)
  where('r.finished_at < ?', filter.finishedBefore)
  return [conditions.join(' AND '), bindings]
}
