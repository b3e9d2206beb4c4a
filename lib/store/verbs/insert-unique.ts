import type { InsertedRow, NewRow, Row, UniqueRule } from '../store.js'
import type { Run, Send, Session } from '../session.js'
import { columnsOf, returned, toRow } from '../row.js'
import { NOT_UNIQUE, STORE_UNAVAILABLE } from '../../core/errors.js'
import { getMany } from './read.js'
import { insertSource, insertStatement, insertTags, insertValues, newlyStored, type Inserting } from './insert-statement.js'
import { dropExpired, readyAgain } from './unique-key.js'

// Each round means that the row which stood in the way ended, or its key ran out, between two statements.
const ROUNDS_MAX = 20

/** Store a row under its unique key, or find the row that stands under it. */
export async function insertUnique (session: Session, row: NewRow, outer: Run | null): Promise<InsertedRow> {
  const rule = row.unique as UniqueRule
  const alone: Send = async (sql, bindings, how) => (await session.write('store a task', sql, bindings, how)).rows
  const run = outer ?? alone
  // Joined to the row, it would be planned for the tables as they are at first, and perhaps read all such rows for good.
  const text = session.unseen('text')
  const free = `NOT EXISTS (SELECT 1 FROM ${session.tables.results} o WHERE o.backend = ${text} AND o.task = ${text} AND o.unique_key = ${text} AND ${readyAgain('o')})`
  const inserting = insertStatement(session, [row], [free, [row.backend, row.task, rule.key]])
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const [decided] = outer === null && inserting.tagsApart
      ? (await session.transact('store a task', async (send) => await store(session, row, inserting, send))).value
      : await store(session, row, inserting, run)
    if (decided !== undefined) return { row: newlyStored(row, decided), isDuplicate: false }
    const standing = await findStanding(session, row, rule, run)
    if (standing === null) continue
    if (standing.row.id === row.id) return { row: standing.row, isDuplicate: false }
    if (standing.expired) { await dropExpired(session, run, { backend: row.backend, task: row.task, key: rule.key }); continue }
    if (rule.onConflict === 'throw') throw new NOT_UNIQUE(row.task, standing.row.id)
    if (rule.onConflict === 'return') return { row: standing.row, isDuplicate: true }
    const { id } = standing.row
    const { value: replaced, unsure } = outer === null
      ? await session.transact('store a task', async (send) => await replace(session, row, id, send))
      : { value: await replace(session, row, id, outer), unsure: false }
    if (replaced !== null) return { row: replaced, isDuplicate: true }
    if (unsure) {
      // A try whose answer was lost may have replaced it, and it has been claimed or has ended since: then it became due
      // anew. Where that does not show, another row is stored: better run twice than not at all.
      const [known] = await getMany(session, [id])
      if (known !== undefined && known.args === row.args && known.due !== standing.row.due) return { row: known, isDuplicate: true }
    }
    // It was claimed, or it ended, meanwhile: read it again, and give it as it is unless the key is free by now.
    const again = await findStanding(session, row, rule, run)
    if (again !== null && again.row.status !== 'READY') return { row: again.row, isDuplicate: true }
  }
  throw new STORE_UNAVAILABLE('store a task', 'the row under its unique key changed too often')
}

async function store (session: Session, row: NewRow, { sql, bindings, tagsApart }: Inserting, run: Send): Promise<Array<Record<string, unknown>>> {
  const decided = await run(sql, bindings, { plan: 'once' })
  if (decided.length > 0 && tagsApart) await insertTags(session, [row], run)
  return decided
}

/** The row that stands in the way of this one; it may be this very row, stored by an earlier try. */
export async function findStanding (session: Session, row: NewRow, rule: UniqueRule, run: Send): Promise<{ row: Row, expired: boolean } | null> {
  const { dialect, tables } = session
  const text = session.unseen('text')
  // The row of this very id first: an earlier try may have stored it, and its key may be free again.
  const key = [row.backend, row.task, rule.key]
  const [record] = await run(`
    SELECT ${columnsOf('r')}, c.expired FROM (
      SELECT id, 0 AS place, false AS expired FROM ${tables.results} WHERE id = ${session.unseen('uuid')}
      UNION ALL SELECT h.id, 1, coalesce(h.unique_until <= ${dialect.now}, false) FROM ${tables.results} h WHERE h.backend = ${text} AND h.task = ${text} AND h.unique_key = ${text} AND h.unique_held
      UNION ALL SELECT o.id, 2, false FROM ${tables.results} o WHERE o.backend = ${text} AND o.task = ${text} AND o.unique_key = ${text} AND ${readyAgain('o')}
    ) AS c ${dialect.lookUp(tables.results)}
    ORDER BY c.place, r.due LIMIT 1`, [row.id, ...key, ...key], { plan: 'once' })
  return record === undefined ? null : { row: toRow(record), expired: Boolean(record['expired']) }
}

/** The standing row takes over what the new one would have been; READY rows only. One that is READY again keeps its scope. */
async function replace (session: Session, row: NewRow, id: string, run: Send): Promise<Row | null> {
  const { dialect, tables } = session
  const source = insertSource(session)
  const after = 'coalesce(i.run_after, n.at + i.delay)'
  const [record] = await run(`
    UPDATE ${tables.results} AS r SET args = i.args, options = i.options, queue = i.queue, priority = i.priority,
      run_after = ${after}, due = CASE WHEN ${after} > n.at THEN ${after} ELSE n.at END,
      unique_ready = CASE WHEN r.unique_held THEN i.unique_ready ELSE r.unique_ready END,
      unique_until = CASE WHEN r.unique_held THEN n.at + i.unique_ms ELSE NULL END,
      unique_ms = CASE WHEN r.unique_held THEN i.unique_ms ELSE NULL END,
      holds = CASE WHEN r.concurrency_key = i.concurrency_key THEN r.holds ELSE NULL END,
      concurrency_key = i.concurrency_key, concurrency_limit = i.concurrency_limit, limit_group = i.limit_group, limits = i.limits,
      claimable = i.limit_group IS NULL, parked = CASE WHEN i.limit_group IS NULL THEN NULL ELSE 'limit' END, waiting = i.limit_group
    FROM ${source.sql} AS i CROSS JOIN (SELECT ${dialect.now} AS at) AS n
    WHERE r.id = ? AND r.status = 'READY' AND (r.unique_held OR r.unique_ready)
    RETURNING ${returned(dialect)}`, [...source.bind([insertValues(row)]), id])
  if (record === undefined) return null
  await run(`DELETE FROM ${tables.tags} WHERE id = ?`, [id])
  await insertTags(session, [{ id, tags: row.tags }], run)
  return toRow(record)
}
