import type { ListFilter, Row } from '../store.js'
import type { Session } from '../session.js'
import { columnsOf, toRow } from '../row.js'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** True for what can be an id of a stored row; anything else is not asked for. */
export function isId (value: unknown): value is string {
  return typeof value === 'string' && UUID.test(value)
}

export async function getMany (session: Session, ids: readonly string[]): Promise<Row[]> {
  const valid = ids.filter(isId)
  if (valid.length === 0) return []
  const { dialect, tables } = session
  const records = await session.read('read results', `SELECT ${columnsOf('r')} FROM ${tables.results} r WHERE ${dialect.isIn('r.id', 'uuid')}`, [dialect.list(valid)])
  const byId = new Map(records.map((record) => [record['id'] as string, record]))
  return ids.flatMap((id) => {
    const record = byId.get(id)
    return record === undefined ? [] : [toRow(record)]
  })
}

export async function get (session: Session, id: string): Promise<Row | null> {
  if (!isId(id)) return null
  const [record] = await session.read('read a result', `SELECT ${columnsOf('r')} FROM ${session.tables.results} r WHERE r.id = ?`, [id], { plan: 'once' })
  return record === undefined ? null : toRow(record)
}

/** Newest first. `next` is the id to go on from, null at the end. */
export async function list (session: Session, filter: ListFilter): Promise<{ rows: Row[], next: string | null }> {
  const { tables } = session
  const conditions = ['r.backend = ?']
  const bindings: unknown[] = [filter.backend]
  const where = (condition: string, ...values: unknown[]): void => { conditions.push(condition); bindings.push(...values) }
  if (filter.status !== undefined) where(...statusCondition(session, filter.status))
  if (filter.queue !== undefined) where('r.queue = ?', filter.queue)
  if (filter.task !== undefined) where('r.task = ?', filter.task)
  if (filter.tag !== undefined) where(`r.id IN (SELECT g.id FROM ${tables.tags} g WHERE g.tag = ?)`, filter.tag)
  if (filter.after !== undefined) where('r.id < ?', filter.after)
  const records = await session.read('list results', `
    SELECT ${columnsOf('r')} FROM ${tables.results} r WHERE ${conditions.join(' AND ')} ORDER BY r.id DESC LIMIT ?`, [...bindings, filter.limit + 1])
  const rows = records.slice(0, filter.limit).map(toRow)
  return { rows, next: records.length > filter.limit ? rows.at(-1)?.id ?? null : null }
}

/** The status, and beside it what lets an index find the rows of a rare one. */
function statusCondition ({ dialect, tables }: Session, status: string): [string, ...unknown[]] {
  switch (status) {
    case 'FAILED': return ["r.status = 'FAILED' AND r.failed_at IS NOT NULL"]
    case 'CANCELLED': return ["r.status = 'CANCELLED' AND r.cancel_at IS NOT NULL"]
    case 'RUNNING': {
      const held = dialect.elements('c.ids')
      return [`r.status = 'RUNNING' AND r.id IN (SELECT ${held.id} FROM ${tables.claims} c CROSS JOIN ${held.from})`]
    }
    default: return ['r.status = ?', status]
  }
}
