import type { InsertedRow, NewRow, Row } from '../store.js'
import type { Run, Session } from '../session.js'
import type { Hint } from '../wake/wake.js'
import { fromColumn, isCallable, type Procedure } from '../procedures.js'
import { isPermanent } from '../faults.js'
import { newlyStored } from './insert-statement.js'

/**
 * True for rows without limits that differ in nothing but id and arguments: one task, enqueued again and again. (Arguments
 * are an empty text only where a serializer makes them one.)
 */
export function areAlike (rows: readonly NewRow[]): boolean {
  const [first] = rows as [NewRow, ...NewRow[]]
  return rows.every((row) => row.args !== '' && row.unique === null && (row.limits ?? null) === null && row.tags.length === 0 && row.task === first.task && row.queue === first.queue &&
    row.priority === first.priority && row.runAfter === first.runAfter && row.delay === first.delay &&
    row.options === first.options && row.backend === first.backend)
}

export interface HowAlike {
  readonly run: Run | null
  /** Some of the rows may be stored already, by a try whose answer was lost. */
  readonly stored: boolean
  readonly hint: Hint | null
}

/**
 * How such rows are stored: what they share is sent once, and the one moment comes back once. The usual case, and half
 * the work of the general statement. Not having to look whether they are stored makes a row a fifth cheaper on
 * PostgreSQL. Null where some were.
 */
export function prepareAlike (session: Session, rows: readonly NewRow[]): (how: HowAlike) => Promise<InsertedRow[] | null> {
  const [first] = rows as [NewRow, ...NewRow[]]
  const { backend, task, queue, priority, options, runAfter, delay } = first
  const source = session.dialect.pairs('id', 'args', session.sight)
  const bindings = [backend, task, queue, priority, options, runAfter, delay, ...source.bind(rows.map(({ id }) => id), rows.map(({ args }) => args))]
  return async (how) => {
    const { count, at } = session.dialect.writesInCtes
      ? await insertAtOnce(session, bindings, how)
      : await insertInTurn(session, rows, bindings, how.run)
    if (count !== null && count !== rows.length) return null
    const after = runAfter ?? (delay === null ? null : at + delay)
    const decided = { enqueued_at: at, run_after: after, due: after !== null && after > at ? after : at }
    return rows.map((row) => new Alike(row, decided))
  }
}

/** Whose row is made when it is asked for: a hundred thousand of them cost more to keep until the call ends than to make. */
class Alike implements InsertedRow {
  readonly isDuplicate = false
  readonly #row: NewRow
  readonly #decided: Record<string, unknown>

  constructor (row: NewRow, decided: Record<string, unknown>) {
    this.#row = row
    this.#decided = decided
  }

  get row (): Row { return newlyStored(this.#row, this.#decided) }
}

/** `count` is null for all. */
interface Stored { readonly count: number | null, readonly at: number }

async function insertAtOnce (session: Session, shared: readonly unknown[], { run, stored, hint }: HowAlike): Promise<Stored> {
  const statement = (mayBeStored: boolean): string => `
    WITH n AS MATERIALIZED (SELECT ${session.dialect.now} AS at),
    stored AS (${insertOf(session, mayBeStored)} ${mayBeStored ? 'RETURNING 1' : ''})
    SELECT (SELECT at FROM n) AS at, ${mayBeStored ? '(SELECT count(*) FROM stored)' : 'NULL'} AS count,
      (SELECT count(pg_notify(h.channel, 'ready')) FROM (SELECT ?::text AS channel) AS h WHERE h.channel IS NOT NULL) AS told`
  const write = async (channel: string | null): Promise<ReadonlyArray<Record<string, unknown>>> => {
    return (await session.write('store tasks', statement(false), [...shared, channel], { plan: 'once', again: statement(true) })).rows
  }
  const [record] = run !== null
    ? await run(statement(stored), [...shared, null], { plan: 'once' })
    : hint === null ? await write(null) : await carrying(hint, write)
  const count = record?.['count'] ?? null
  return { at: Number(record?.['at']), count: count === null ? null : Number(count) }
}

/** With the hint; without it where that may be why the database refuses: it is never a reason for an enqueue to fail. */
async function carrying<T> (hint: Hint, write: (channel: string | null) => Promise<T>): Promise<T> {
  try {
    const written = await write(hint.channel)
    hint.outcome = 'carried'
    return written
  } catch (error) {
    if (!isPermanent(error)) throw error
    const written = await write(null)
    hint.outcome = 'refused'
    return written
  }
}

// So many rows are counted faster than they come out of the driver.
const COUNTED_MIN = 20

async function insertInTurn (session: Session, rows: readonly NewRow[], bindings: readonly unknown[], run: Run | null): Promise<Stored> {
  const { dialect, tables } = session
  const sql = `WITH n AS MATERIALIZED (SELECT ${dialect.now} AS at) ${insertOf(session, true)}`
  if (run === null && rows.length < COUNTED_MIN) {
    const { rows: records } = await session.write('store tasks', `${sql} RETURNING enqueued_at`, bindings)
    return { count: records.length, at: Number(records[0]?.['enqueued_at']) }
  }
  if (run === null && isCallable(session, bindings)) {
    const { rows: records } = await session.call('store tasks', `
      WITH n AS MATERIALIZED (SELECT ${dialect.now} AS at)
      INSERT INTO ${session.procedure(storing)} SELECT ${SHARED_VALUES}, i.rows FROM ${MOMENTS} CROSS JOIN (SELECT ? AS rows) AS i RETURNING enqueued_at`, bindings)
    if (records !== null) return { count: null, at: Number(records[0]?.['enqueued_at']) }
  }
  const counted = async (send: Run): Promise<Stored> => {
    await send(sql, bindings)
    const [record] = await send(`SELECT changes() AS count, (SELECT r.enqueued_at FROM ${tables.results} r WHERE r.id = ?) AS at`, [rows[0]?.id])
    return { count: Number(record?.['count']), at: Number(record?.['at']) }
  }
  return run !== null ? await counted(run) : (await session.transact('store tasks', counted)).value
}

const SHARED = ['run_after', 'due', 'enqueued_at', 'backend', 'task', 'queue', 'priority', 'options'] as const

const SHARED_VALUES = `t.after, CASE WHEN t.after > t.at THEN t.after ELSE t.at END, t.at,
  CAST(? AS text), CAST(? AS text), CAST(? AS text), CAST(? AS smallint), CAST(? AS text)`

const MOMENTS = '(SELECT n.at, coalesce(CAST(? AS bigint), n.at + CAST(? AS bigint)) AS after FROM n) AS t'

/** All of them, none of which is there already. */
export const storing: Procedure = {
  name: 'storing',
  columns: [...SHARED, 'rows'],
  body: ({ results }, dialect) => `
    INSERT INTO ${results} (${SHARED.join(', ')}, id, args, status, claimable)
      SELECT ${SHARED.map((column) => `NEW.${column}`).join(', ')}, i.id, i.args, 'READY', true FROM ${fromColumn(dialect.pairs('id', 'args', 'seen'), 'rows')} AS i;`
}

/** In the order in which the source has them: it is the only one with more than one row. */
function insertOf ({ dialect, tables, sight }: Session, mayBeStored: boolean): string {
  return `
    INSERT INTO ${tables.results} (${SHARED.join(', ')}, id, args, status, claimable)
    SELECT ${SHARED_VALUES}, i.id, i.args, 'READY', true
    FROM ${MOMENTS} CROSS JOIN ${dialect.pairs('id', 'args', sight).sql} AS i
    WHERE true ${mayBeStored ? 'ON CONFLICT DO NOTHING' : ''}`
}
