import type { Ending, FinishedRow, Success } from '../store.js'
import type { RowSource } from '../dialects/dialect.js'
import { fromColumn, isCallable, refuseUnless, type Procedure } from '../procedures.js'
import type { Run, Session } from '../session.js'
import { endClaims } from './claims.js'
import { guardedUpdate } from './guarded.js'

/** A success of which nothing but its value is to be written, as far as its worker knows. */
export type PlainEnding = Success & { readonly keyed?: false }

export function isPlain (ending: Ending): ending is PlainEnding {
  return ending.status === 'SUCCESSFUL' && ending.keyed !== true
}

const INPUT = [['id', 'uuid'], ['claim', 'bigint'], ['return_value', 'text']] as const

// Whatever else a success may have to do for its row: give a key or a place back, or give way to a cancellation. Rows of
// this kind are left for the statement that can do all of it.
const plain = (row = 'r'): string => `AND ${row}.cancel_at IS NULL AND ${row}.unique_held IS NULL AND ${row}.limit_group IS NULL`

/** The rows that were changed. `tries` above 1: others may have been, by a try whose answer was lost. */
export interface Written { readonly rows: FinishedRow[], readonly tries: number }

/**
 * Write successes, guarded by their tokens: the statement that a busy worker spends its time on. Three columns are
 * changed, none of which is indexed, and on PostgreSQL no row comes back as long as it is all of them.
 */
export async function finishPlain (session: Session, worker: string, endings: readonly PlainEnding[], ended: readonly number[]): Promise<Written> {
  const source = session.dialect.rows(INPUT, session.sight)
  const bindings = (): unknown[] => [...source.bind(endings.map(({ id, claim, returnValue }) => [id, claim, returnValue])), worker]
  const { at, ids, tries } = session.dialect.writesInCtes
    ? await writeAtOnce(session, { worker, endings, source, bindings, asked: endings.length, ended })
    : await writeInTurn(session, { worker, endings, source, bindings, asked: endings.length, ended })
  return { rows: (ids ?? endings.map(({ id }) => id)).map((id) => ({ id, status: 'SUCCESSFUL', at, runAfter: null })), tries }
}

interface Write { readonly worker: string, readonly endings: readonly PlainEnding[], readonly source: RowSource, readonly bindings: () => unknown[], readonly asked: number, readonly ended: readonly number[] }

/** `ids` is null for all. */
interface Answer { readonly at: number, readonly ids: readonly string[] | null, readonly tries: number }

const SET = "status = 'SUCCESSFUL', finished_at = n.at, return_value = i.return_value"

async function writeAtOnce (session: Session, { worker, source, bindings, asked, ended }: Write): Promise<Answer> {
  const { dialect, tables } = session
  // Planned once, it looks the rows up by their ids, one by one. Else it has to be told to; see guardedUpdate.
  const update = session.prepares
    ? `UPDATE ${tables.results} AS r SET ${SET} FROM ${source.sql} AS i CROSS JOIN n
       WHERE r.id = i.id AND r.status = 'RUNNING' AND r.worker = ? AND r.claim = i.claim ${plain()} RETURNING r.id`
    : guardedUpdate(session, { source, set: SET, and: plain(), returning: ['id'], now: '(SELECT at FROM n)' })
  // The notifications are sent only where somebody waits at all: the first sub-query is asked once.
  const { rows, tries } = await session.writeTuples('finish tasks', `
    WITH n AS MATERIALIZED (SELECT ${dialect.now} AS at),
    done AS (${update}),
    gone AS (DELETE FROM ${tables.claims} WHERE worker = ? AND ${dialect.isIn('claim', 'bigint')} AND (SELECT count(*) FROM done) = ?)
    SELECT (SELECT at FROM n), CASE WHEN count(*) < ? THEN ARRAY(SELECT id FROM done) END,
      CASE WHEN (SELECT EXISTS (SELECT 1 FROM ${tables.waits})) THEN (SELECT count(pg_notify(?, 'ended:' || w.id::text)) FROM ${tables.waits} w WHERE w.id IN (SELECT id FROM done)) END
    FROM done`, [...bindings(), worker, dialect.list(ended), asked, asked, session.channel], session.prepares ? { plan: 'once' } : {})
  const [at, ids] = rows[0] as [unknown, unknown]
  return { at: Number(at), ids: ids === null ? null : dialect.idsOf(ids), tries }
}

/** All of them are changed, and batches forgotten; or nothing is. */
export const finishing: Procedure = {
  name: 'finishing',
  columns: ['worker', 'endings', 'ended', 'asked', 'at'],
  body: ({ results, claims }, dialect) => `
    UPDATE ${results} SET status = 'SUCCESSFUL', finished_at = NEW.at, return_value = substr(i.ending, instr(i.ending, ' ') + 1)
      FROM ${fromColumn(dialect.pairs('id', 'ending', 'seen'), 'endings')} AS i
      WHERE ${results}.id = i.id AND ${results}.status = 'RUNNING' AND ${results}.worker = NEW.worker AND ${results}.claim = CAST(i.ending AS INTEGER) ${plain(results)};
    ${refuseUnless('NEW.asked')};
    DELETE FROM ${claims} WHERE worker = NEW.worker AND claim IN (SELECT value FROM json_each(NEW.ended));`
}

// Claim and value in one text, which is read in half the time of a JSON array; a cast takes the number it begins with.
function textOf ({ claim, returnValue }: PlainEnding): string {
  return `${claim} ${returnValue}`
}

async function writeInTurn (session: Session, write: Write): Promise<Answer> {
  const { dialect, tables } = session
  const { worker, endings, bindings, asked, ended } = write
  const sql = `UPDATE ${tables.results} AS r SET ${SET} FROM ${write.source.sql} AS i CROSS JOIN (SELECT ${dialect.now} AS at) AS n
    WHERE r.id = i.id AND r.status = 'RUNNING' AND r.worker = ? AND r.claim = i.claim ${plain()}`
  if (asked < COUNTED_MIN && ended.length === 0) {
    const { rows, tries } = await session.write('finish tasks', `${sql} RETURNING id, finished_at`, bindings())
    return { at: Number(rows[0]?.['finished_at']), ids: rows.map(({ id }) => id as string), tries }
  }
  if (isCallable(session, endings.map(({ returnValue }) => returnValue))) {
    const source = dialect.pairs('id', 'ending', 'seen').bind(endings.map(({ id }) => id), endings.map(textOf))
    const { rows, tries } = await session.call('finish tasks', `INSERT INTO ${session.procedure(finishing)} VALUES (?, ?, ?, ?, ${dialect.now}) RETURNING at`, [worker, ...source, dialect.list(ended), asked])
    if (rows !== null) return { at: Number(rows[0]?.['at']), ids: null, tries }
  }
  const { value, tries } = await session.transact('finish tasks', async (run) => {
    const changed = await changedBy(session, run, sql, write)
    if (changed.ids === null && ended.length > 0) await run(...endClaims(session, worker, ended))
    return changed
  })
  return { ...value, tries }
}

// So many rows are counted faster than they come out of the driver.
const COUNTED_MIN = 20

async function changedBy ({ tables, dialect }: Session, run: Run, sql: string, { worker, endings, bindings, asked }: Write): Promise<Omit<Answer, 'tries'>> {
  await run(sql, bindings())
  const [counted] = await run(`SELECT changes() AS changed, (SELECT r.finished_at FROM ${tables.results} r WHERE r.id = ?) AS at`, [endings[0]?.id])
  if (Number(counted?.['changed']) === asked) return { at: Number(counted?.['at']), ids: null }
  const rows = await run(`SELECT r.id, r.finished_at FROM ${tables.results} r WHERE ${dialect.isIn('r.id', 'uuid')} AND r.status = 'SUCCESSFUL' AND r.worker = ?`, [dialect.list(endings.map(({ id }) => id)), worker])
  const at = Math.max(...rows.map((row) => Number(row['finished_at'])))
  return { at, ids: Number(counted?.['changed']) === 0 ? [] : rows.filter((row) => Number(row['finished_at']) === at).map(({ id }) => id as string) }
}
