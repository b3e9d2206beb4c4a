import type { NewRow, Row } from '../store.js'
import type { Run, Session } from '../session.js'
import { newlyStored } from './insert-statement.js'

/** True for rows without limits that differ in nothing but id and arguments: one task, enqueued again and again. */
export function areAlike (rows: readonly NewRow[]): boolean {
  const [first] = rows as [NewRow, ...NewRow[]]
  return rows.every((row) => row.unique === null && (row.limits ?? null) === null && row.tags.length === 0 && row.task === first.task && row.queue === first.queue &&
    row.priority === first.priority && row.runAfter === first.runAfter && row.delay === first.delay &&
    row.options === first.options && row.backend === first.backend)
}

/**
 * Store such rows: what they share is sent once, and comes back once. The usual case, and half the work of the general
 * statement. Null where some of them are stored already.
 */
export async function insertAlike (session: Session, rows: readonly NewRow[], run: Run | null): Promise<Row[] | null> {
  const { dialect, tables } = session
  const source = dialect.pairs('id', 'args')
  const sql = `
    INSERT INTO ${tables.results} (id, args, backend, task, queue, priority, options, run_after, due, enqueued_at, status, claimable)
    SELECT i.id, i.args, CAST(? AS text), CAST(? AS text), CAST(? AS text), CAST(? AS smallint), CAST(? AS text),
      t.after, CASE WHEN t.after > t.at THEN t.after ELSE t.at END, t.at, 'READY', true
    FROM (SELECT n.at, coalesce(CAST(? AS bigint), n.at + CAST(? AS bigint)) AS after FROM (SELECT ${dialect.now} AS at) AS n) AS t
      CROSS JOIN ${source.sql} AS i
    WHERE true
    ${source.order}
    ON CONFLICT DO NOTHING
    RETURNING enqueued_at`
  const [first] = rows as [NewRow, ...NewRow[]]
  const { backend, task, queue, priority, options, runAfter, delay } = first
  const bindings = [backend, task, queue, priority, options, runAfter, delay, ...source.bind(rows.map(({ id, args }) => [id, args]))]
  const returned = run !== null ? await run(sql, bindings) : (await session.write('store tasks', sql, bindings, { plan: 'once' })).rows
  if (returned.length !== rows.length) return null
  const at = Number(returned[0]?.['enqueued_at'])
  const after = runAfter ?? (delay === null ? null : at + delay)
  const decided = { enqueued_at: at, run_after: after, due: after !== null && after > at ? after : at }
  return rows.map((row) => newlyStored(row, decided))
}
