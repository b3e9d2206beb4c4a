import type { ListFilter } from '../store.js'
import type { Session } from '../session.js'
import { LIST_SMALL_ROWS_MAX } from '../../core/limits.js'
import { withinRange, type Range } from './list-range.js'

/** Where a list looks for its rows: ids from the newest on, each step of them found by an index. */
export interface Source {
  /** True where `x` is the table of results itself. */
  readonly whole: boolean
  /** A query for these columns of `x` in the range, without its LIMIT. */
  select (range: Range, columns: string): [sql: string, bindings: unknown[]]
}

interface Candidate {
  readonly source: Source
  /** False where its rows have to be sorted first: for a small one only. */
  readonly ordered: boolean
  readonly rows: readonly [sql: string, bindings: unknown[]]
}

/** The smallest that is known to hold all that the filter asks for; the whole table where there is none. */
export async function sourceOf (session: Session, filter: ListFilter): Promise<Source> {
  const candidates = candidatesOf(session, filter)
  const [only] = candidates
  if (only === undefined) return everything(session)
  if (candidates.length === 1 && only.ordered) return only.source
  for (const { source, rows: [sql, bindings] } of candidates) {
    const [record] = await session.read('count results', `SELECT count(*) AS found FROM (${sql} LIMIT ?) AS found`, [...bindings, LIST_SMALL_ROWS_MAX + 1])
    if (Number(record?.['found']) <= LIST_SMALL_ROWS_MAX) return source
  }
  return candidates.find(({ ordered }) => ordered)?.source ?? everything(session)
}

function candidatesOf (session: Session, { backend, status, queue, tag }: ListFilter): Candidate[] {
  const { dialect, tables: { results, tags, claims } } = session
  const candidates: Candidate[] = []
  const add = (from: string, condition: string, bindings: unknown[], id = 'x.id', ordered = true): void => {
    const select: Source['select'] = (range) => {
      const [within, bounds] = withinRange(range, id)
      return [`SELECT ${id} AS id FROM ${from} WHERE ${condition} ${within} ORDER BY ${id} DESC`, [...bindings, ...bounds]]
    }
    candidates.push({ source: { whole: false, select }, ordered, rows: [`SELECT 1 FROM ${from} WHERE ${condition}`, bindings] })
  }
  if (tag !== undefined) add(`${tags} x`, 'x.tag = ?', [tag])
  if (status === 'FAILED') add(`${results} x`, 'x.backend = ? AND x.failed_at IS NOT NULL', [backend])
  if (status === 'CANCELLED') add(`${results} x`, 'x.backend = ? AND x.cancel_at IS NOT NULL', [backend])
  if (status === 'RUNNING') {
    const held = dialect.elements('c.ids')
    // A row that was handed back is still named by its old batch. As a sub-query: its rows are looked up one by one.
    const token = `(SELECT x.worker = c.worker AND x.claim = c.claim FROM ${results} x WHERE x.id = ${held.id})`
    add(`${claims} c CROSS JOIN ${held.from}`, `c.backend = ? AND ${token}`, [backend], held.id)
  }
  if (status === 'READY') {
    const [scope, values] = queue === undefined ? ['x.backend = ?', [backend]] : ['x.backend = ? AND x.queue = ?', [backend, queue]]
    const parts = ['x.claimable AND NOT x.quarantined', 'x.claimable AND x.quarantined', 'x.parked IS NOT NULL']
    const union = parts.map((index) => `SELECT x.id FROM ${results} x WHERE ${scope} AND ${index}`).join(' UNION ALL ')
    add(`(${union}) AS x`, 'true', parts.flatMap(() => values), 'x.id', false)
  }
  return candidates
}

function everything ({ tables }: Session): Source {
  return {
    whole: true,
    select: (range, columns) => {
      const [within, bounds] = withinRange(range, 'x.id')
      return [`SELECT ${columns} FROM ${tables.results} x WHERE true ${within} ORDER BY x.id DESC`, bounds]
    }
  }
}
