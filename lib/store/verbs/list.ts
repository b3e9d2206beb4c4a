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
export async function list (session: Session, filter: ListFilter): Promise<Page> {
  const { limit } = filter
  const source = await sourceOf(session, filter)
  const conditions = conditionsOf(session, filter)
  let range = await rangeOf(session, filter)
  const chunkOf = (step: number): number => Math.max(limit + 1, LIST_CHUNKS[Math.min(step, LIST_CHUNKS.length - 1)] as number)
  // Most pages are filled by the first chunk, and need not know where it ends. One that is not looks at it again.
  const newest = await session.read('list results', ...fitting(session, source, range, conditions, { chunk: chunkOf(0), limit: limit + 1 }))
  if (newest.length > limit) return pageOf(newest.map(toRow), limit)
  const found: Row[] = []
  for (let looked = 0, step = 0; looked < LIST_ROWS_MAX; looked += chunkOf(step), step++) {
    const { rows, last } = await look(session, source, range, conditions, { chunk: chunkOf(step), limit: limit + 1 - found.length })
    found.push(...rows)
    if (found.length > limit) return pageOf(found, limit)
    if (last === null) return { rows: found, next: null }
    range = { ...range, below: last }
  }
  return { rows: found, next: range.below }
}

interface Page { readonly rows: Row[], readonly next: string | null }

function pageOf (found: Row[], limit: number): Page {
  return { rows: found.slice(0, limit), next: (found[limit - 1] as Row).id }
}

type Query = readonly [sql: string, bindings: unknown[]]
type Size = { readonly chunk: number, readonly limit: number }

/**
 * The rows of one chunk of the source that fit, and the last id of the chunk; null where the source ended before. One
 * statement, since it sees one moment: what came or went between two would shift the end, and rows be listed twice or
 * left out.
 */
async function look (session: Session, source: Source, range: Range, conditions: Query, size: Size): Promise<{ rows: Row[], last: string | null }> {
  const [rows, bindings] = fitting(session, source, range, conditions, size)
  const [ids, bounds] = source.select(range, 'x.id')
  const records = await session.read('list results', `
    SELECT found.*, chunk.last_id FROM (SELECT (${ids} LIMIT 1 OFFSET ?) AS last_id) AS chunk LEFT JOIN (${rows}) AS found ON true
    ORDER BY found.id DESC`, [...bounds, size.chunk - 1, ...bindings])
  return { rows: records.filter(({ id }) => id !== null).map(toRow), last: records[0]?.['last_id'] as string | null }
}

/** A query for the rows of one chunk of the source that fit. */
function fitting ({ dialect, tables }: Session, source: Source, range: Range, [condition, values]: Query, { chunk, limit }: Size): Query {
  const [ids, bindings] = source.select(range, source.whole ? '*' : 'x.id')
  const from = source.whole ? `(${ids} LIMIT ?) AS r WHERE true` : `(${ids} LIMIT ?) AS c ${dialect.lookUp(tables.results)}`
  return [`SELECT ${columnsOf('r')} FROM ${from} AND ${condition} ORDER BY r.id DESC LIMIT ?`, [...bindings, chunk, ...values, limit]]
}

function conditionsOf ({ tables }: Session, filter: ListFilter): Query {
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
