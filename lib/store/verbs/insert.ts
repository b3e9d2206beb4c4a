import type { Knex } from 'knex'
import type { Hint } from '../wake/wake.js'
import type { InsertedRow, NewRow, Row } from '../store.js'
import type { Run, Session } from '../session.js'
import { breaksUniqueness } from '../faults.js'
import { columnsOf, toRow } from '../row.js'
import { INSERT_ROWS_MAX } from '../../core/limits.js'
import { insertStatement, insertTags, newlyStored } from './insert-statement.js'
import { boundsOf, lockQueues, refuseFull, refuseOverfull } from './insert-room.js'
import { areAlike, prepareAlike, type HowAlike } from './insert-alike.js'
import { insertUnique } from './insert-unique.js'
import { takeTurn } from './turn.js'

/**
 * Store rows, in their order. Rows with a unique key go one by one, sorted by key: each may have to wait for somebody
 * else's transaction, and two callers that wait for each other's in another order would deadlock.
 *
 * @param hint - is carried where one statement stores all, and they are alike
 */
export async function insert (session: Session, rows: readonly NewRow[], transaction: Knex.Transaction | null, hint: Hint | null = null): Promise<InsertedRow[]> {
  const bounds = boundsOf(rows)
  const keyed = rows.filter(({ unique }) => unique !== null)
  const plain = keyed.length === 0 ? rows : rows.filter(({ unique }) => unique === null)
  // What was asked for together is stored together, in one transaction where one statement does not carry it.
  const together = bounds.length > 0 || keyed.length > 1 || (keyed.length > 0 && plain.length > 0) || plain.length > INSERT_ROWS_MAX
  const store = async (run: Run | null, stored: boolean): Promise<InsertedRow[]> => {
    const inserted: InsertedRow[] = []
    let duplicates: ReadonlySet<string> = new Set()
    if (run !== null && bounds.length > 0) {
      // In a transaction of somebody else's nobody is kept waiting: how long it goes on is not known. But where one writes
      // at a time it is about to write in any case.
      if (transaction === null) await lockQueues(session, run, bounds)
      else await takeTurn(session, run)
      duplicates = await refuseFull(session, run, bounds)
    }
    let next: Prepared | null = null
    for (let start = 0; start < plain.length; start += INSERT_ROWS_MAX) {
      const storing = (next ?? prepare(session, plain, start))({ run, stored, hint })
      if (start + INSERT_ROWS_MAX < plain.length) {
        storing.catch(() => {}) // it is awaited below, unless the next part cannot be bound
        // Put together while the database stores the part before, where that was sent at once: on a connection of our own.
        next = prepare(session, plain, start + INSERT_ROWS_MAX)
      }
      for (const each of await storing) inserted.push(each)
    }
    if (keyed.length === 0) return inserted
    const byId = new Map(inserted.map((each) => [each.row.id, each]))
    for (const row of keyed.sort(byKey)) byId.set(row.id, await insertUnique(session, row, run))
    if (run !== null && [...duplicates].some((id) => byId.get(id)?.isDuplicate === false)) await refuseOverfull(session, run, bounds)
    return rows.map(({ id }) => byId.get(id) as InsertedRow)
  }
  if (transaction !== null) return await session.within('store tasks', transaction, async (run) => await store(run, true))
  return together ? await inTransaction(session, store) : await store(null, false)
}

type StoreRows = (run: Run, stored: boolean) => Promise<InsertedRow[]>

/** The first try need not look whether rows are stored already; unless it meets some, which a caller's own retry may do. */
async function inTransaction (session: Session, store: StoreRows, stored = false): Promise<InsertedRow[]> {
  let tried = stored
  let met = false
  try {
    const { value } = await session.transact('store tasks', async (run) => {
      const again = tried
      tried = true
      try {
        return await store(run, again)
      } catch (error) {
        met = !again && breaksUniqueness(error)
        throw error
      }
    })
    return value
  } catch (error) {
    if (!met) throw error
    return await inTransaction(session, store, true)
  }
}

type Prepared = (how: HowAlike) => Promise<InsertedRow[]>

/** The part of the rows that begins there. */
function prepare (session: Session, all: readonly NewRow[], start: number): Prepared {
  const rows = all.length <= INSERT_ROWS_MAX ? all : all.slice(start, start + INSERT_ROWS_MAX)
  const alike = areAlike(rows) ? prepareAlike(session, rows) : null
  return async (how) => await alike?.(how) ?? (await insertPlain(session, rows, how)).map((row) => ({ row, isDuplicate: false }))
}

/** Inside `run` where there is one, else as one statement of its own, or as a short transaction where tags are another. */
async function insertPlain (session: Session, rows: readonly NewRow[], { run }: HowAlike): Promise<Row[]> {
  const { sql, bindings, tagsApart } = insertStatement(session, rows)
  const withTags = async (send: Run): Promise<Array<Record<string, unknown>>> => {
    const decided = await send(sql, bindings, { plan: 'once' })
    if (tagsApart) await insertTags(session, rows, send)
    return decided
  }
  const decided = run !== null
    ? await withTags(run)
    : tagsApart
      ? (await session.transact('store tasks', withTags)).value
      : (await session.write('store tasks', sql, bindings, { plan: 'once' })).rows
  if (decided.length === rows.length) return matched(rows, decided)
  return await withStored(session, rows, decided, run)
}

/** Rows whose insert did nothing were stored by an earlier try whose answer was lost. */
async function withStored (session: Session, rows: readonly NewRow[], decided: ReadonlyArray<Record<string, unknown>>, run: Run | null): Promise<Row[]> {
  const { dialect, tables } = session
  const fresh = new Map(decided.map((record) => [record['id'], record]))
  const missing = rows.filter(({ id }) => !fresh.has(id)).map(({ id }) => id)
  const sql = `SELECT ${columnsOf('r')} FROM ${tables.results} r WHERE ${dialect.isIn('r.id', 'uuid')}`
  const records = run !== null ? await run(sql, [dialect.list(missing)]) : (await session.write('store tasks', sql, [dialect.list(missing)])).rows
  const stored = new Map(records.map((record) => [record['id'], toRow(record)]))
  return rows.map((row) => stored.get(row.id) ?? newlyStored(row, fresh.get(row.id) as Record<string, unknown>))
}

function matched (rows: readonly NewRow[], decided: ReadonlyArray<Record<string, unknown>>): Row[] {
  if (rows.every((row, index) => decided[index]?.['id'] === row.id)) return rows.map((row, index) => newlyStored(row, decided[index] as Record<string, unknown>))
  const byId = new Map(decided.map((record) => [record['id'], record]))
  return rows.map((row) => newlyStored(row, byId.get(row.id) as Record<string, unknown>))
}

function byKey (a: NewRow, b: NewRow): number {
  const [left, right] = [`${a.task} ${a.unique?.key ?? ''}`, `${b.task} ${b.unique?.key ?? ''}`]
  return left < right ? -1 : left > right ? 1 : 0
}
