import type { Row } from '../store.js'
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
