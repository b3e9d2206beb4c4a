import type { Ending, FinishedRow, Success } from '../store.js'
import type { TaskResultStatus } from '../../core/status.js'
import type { Run, Session } from '../session.js'
import { moment } from '../row.js'
import { forgetCancels } from './cancels.js'
import { COMMIT_IDLE_MS } from '../../core/limits.js'
import { endClaims } from './claims.js'
import { finishPlain, isPlain, type Written } from './finish-plain.js'
import { guardedUpdate, lockRows, putBack } from './guarded.js'
import { notifyEnded } from './waits.js'

const INPUT = [['id', 'uuid'], ['claim', 'bigint'], ['status', 'text'], ['return_value', 'text'], ['errors', 'text'], ['delay', 'bigint']] as const
const FINISHED = ['id', 'status', 'finished_at', 'run_after', 'limit_group'] as const // the order of toFinished

// So many plain successes among others are worth a statement of their own.
const APART_MIN = 100

/**
 * Write endings and retries, each guarded by its token, many in one statement. A result whose cancellation was asked
 * for ends CANCELLED whatever its attempt led to: `cancel()` has said so.
 */
export async function finish (session: Session, worker: string, endings: readonly Ending[], ended: readonly number[]): Promise<FinishedRow[]> {
  const plain = endings.filter(isPlain)
  const others = endings.length - plain.length
  if (plain.length === 0 || (others > 0 && plain.length < APART_MIN)) return await finishAny(session, worker, endings, ended)
  // What ends a claim goes with the last of the two writes.
  const { rows: done, tries } = await finishPlain(session, worker, plain, others > 0 ? [] : ended)
  if ((tries > 1 || plain.some(wasSent)) && done.length < plain.length) done.push(...(await findWritten(session, worker, without(plain, done))).filter(({ status }) => status === 'SUCCESSFUL'))
  if (done.length === endings.length) return done
  const left = without(endings, done)
  return left.length === 0 ? done : [...done, ...await finishAny(session, worker, left, ended)]
}

function wasSent ({ sent }: Ending): boolean {
  return sent === true
}

async function finishAny (session: Session, worker: string, endings: readonly Ending[], ended: readonly number[]): Promise<FinishedRow[]> {
  const first = await write(session, worker, endings, ended)
  if (first.rows.length === endings.length) return await settled(session, worker, first.rows)
  // Refused, or passed over: changed by somebody else at that very moment, or by a try whose answer was lost.
  const second = await writeLocked(session, worker, without(endings, first.rows), ended)
  const accepted = [...first.rows, ...second.rows]
  if ((first.tries + second.tries > 2 || endings.some(wasSent)) && accepted.length < endings.length) accepted.push(...await findWritten(session, worker, without(endings, accepted)))
  return await settled(session, worker, accepted)
}

/**
 * Write a success, with its progress, in a transaction of the task's own; not where it is to be cancelled. It waits for
 * whoever is changing the row, and says that it ended when it began to wait; from then on the transaction may stand still
 * for `COMMIT_IDLE_MS` before the server ends it. What it sets is what `endingsStatement` does of a success.
 */
export async function finishIn ({ dialect, tables }: Session, run: Run, worker: string, { id, claim, returnValue }: Success, progress: string | null): Promise<boolean> {
  const limit = dialect.singleWriter ? '' : `, set_config('idle_in_transaction_session_timeout', '${COMMIT_IDLE_MS}', true)`
  const rows = await run(`
    UPDATE ${tables.results} SET status = 'SUCCESSFUL', finished_at = ${dialect.now}, return_value = ?, progress = coalesce(?, progress), holds = NULL,
      unique_held = CASE WHEN unique_until IS NOT NULL THEN unique_held ELSE NULL END
    WHERE id = ? AND status = 'RUNNING' AND worker = ? AND claim = ? AND cancel_at IS NULL RETURNING id ${limit}`, [returnValue, progress, id, worker, claim])
  return rows.length === 1
}

async function write (session: Session, worker: string, endings: readonly Ending[], ended: readonly number[]): Promise<Written> {
  const { sql, bindings } = endingsStatement(session, worker, endings)
  if (session.dialect.writesInCtes) return await writeAtOnce(session, worker, { sql, bindings, rows: endings.length }, ended)
  if (ended.length > 0) return await writeLocked(session, worker, endings, ended)
  const { rows, tries } = await session.writeTuples('finish tasks', sql, bindings)
  return { rows: rows.map(toFinished), tries }
}

/** Statement by statement: the rows are waited for first, so that one which is not changed is another's. */
async function writeLocked (session: Session, worker: string, endings: readonly Ending[], ended: readonly number[]): Promise<Written> {
  const { sql, bindings } = endingsStatement(session, worker, endings)
  const { value, tries } = await session.transact('finish tasks', async (run) => {
    await lockRows(session, run, endings.map(({ id }) => id))
    const finished = await run.tuples(sql, bindings)
    if (ended.length > 0) await run(...endClaims(session, worker, ended))
    return finished
  })
  const rows = value.map(toFinished)
  if (session.dialect.writesInCtes) await notifyEnded(session, rows.map(({ id }) => id))
  return { rows, tries }
}

/** A cancellation that was heard is done with; the next attempt under the same worker must not hear of it. */
async function settled (session: Session, worker: string, rows: FinishedRow[]): Promise<FinishedRow[]> {
  const cancelled = rows.filter(({ status }) => status === 'CANCELLED')
  if (cancelled.length > 0) await forgetCancels(session, worker, cancelled.map(({ id }) => id))
  return rows
}

function endingsStatement (session: Session, worker: string, endings: readonly Ending[]): { sql: string, bindings: unknown[] } {
  const source = session.dialect.rows(INPUT)
  const cancelled = 'r.cancel_at IS NOT NULL'
  const retried = `(i.status = 'READY' AND NOT (${cancelled}))`
  const set = `
    status = CASE WHEN ${cancelled} THEN 'CANCELLED' ELSE i.status END,
    ${putBack(retried)},
    holds = CASE WHEN ${retried} AND r.concurrency_limit = 1 THEN r.holds ELSE NULL END,
    due = CASE WHEN ${retried} THEN n.at + i.delay ELSE r.due END,
    run_after = CASE WHEN ${retried} THEN n.at + i.delay ELSE r.run_after END,
    finished_at = CASE WHEN ${retried} THEN NULL ELSE n.at END,
    failed_at = CASE WHEN i.status = 'FAILED' AND NOT (${cancelled}) THEN n.at ELSE NULL END,
    cancel_at = CASE WHEN i.status = 'CANCELLED' THEN coalesce(r.cancel_at, n.at) ELSE r.cancel_at END,
    return_value = CASE WHEN ${cancelled} THEN NULL ELSE i.return_value END,
    errors = coalesce(i.errors, r.errors),
    unique_held = CASE WHEN ${retried} OR r.unique_until IS NOT NULL THEN r.unique_held ELSE NULL END`
  return {
    sql: guardedUpdate(session, { source, set, returning: FINISHED, tuple: !session.dialect.writesInCtes }),
    bindings: [...source.bind(endings.map(values)), worker]
  }
}

/**
 * In one statement. Where a row was passed over its batch is kept: should this process die before the next try, the
 * batch is how the row is found.
 */
async function writeAtOnce (session: Session, worker: string, { sql, bindings, rows: asked }: { sql: string, bindings: unknown[], rows: number }, ended: readonly number[]): Promise<Written> {
  const { dialect, tables } = session
  // The notifications are sent only where somebody waits at all: the first sub-query is asked once a statement.
  const { rows, tries } = await session.writeTuples('finish tasks', `
    WITH done AS (${sql}),
    gone AS (DELETE FROM ${tables.claims} WHERE worker = ? AND ${dialect.isIn('claim', 'bigint')} AND (SELECT count(*) FROM done) = ?)
    SELECT ${FINISHED.map((column) => `d.${column}`).join(', ')}, CASE WHEN (SELECT EXISTS (SELECT 1 FROM ${tables.waits}))
      THEN (SELECT count(pg_notify(?, 'ended:' || w.id::text)) FROM ${tables.waits} w WHERE w.id = d.id) END AS told
    FROM done d`, [...bindings, worker, dialect.list(ended), asked, session.channel])
  return { rows: rows.map(toFinished), tries }
}

/**
 * Rows that were changed already, by a statement that did not say which or whose answer was lost: their token stands, and
 * the status that was to be written.
 */
async function findWritten (session: Session, worker: string, endings: readonly Ending[]): Promise<FinishedRow[]> {
  const { dialect, tables } = session
  const source = dialect.rows([['id', 'uuid'], ['claim', 'bigint'], ['status', 'text']])
  const { rows } = await session.writeTuples('finish tasks', `
    SELECT ${dialect.tuple(FINISHED.map((column) => `r.${column}`))} FROM ${source.sql} AS i JOIN ${tables.results} r ON r.id = i.id
    WHERE r.worker = ? AND r.claim = i.claim AND r.status IN (i.status, 'CANCELLED')`, [...source.bind(endings.map(({ id, claim, status }) => [id, claim, status])), worker])
  return rows.map(toFinished)
}

function without (endings: readonly Ending[], rows: readonly FinishedRow[]): Ending[] {
  const known = new Set(rows.map(({ id }) => id))
  return endings.filter(({ id }) => !known.has(id))
}

function values (ending: Ending): unknown[] {
  return [
    ending.id, ending.claim, ending.status,
    ending.status === 'SUCCESSFUL' ? ending.returnValue : null,
    ending.status === 'SUCCESSFUL' || ending.errors.length === 0 ? null : JSON.stringify(ending.errors),
    ending.status === 'READY' ? Math.max(0, Math.round(ending.delay)) : null
  ]
}

function toFinished ([id, status, finishedAt, runAfter, limitGroup]: unknown[]): FinishedRow {
  return {
    id: id as string,
    status: status as TaskResultStatus,
    at: Number(finishedAt ?? runAfter),
    runAfter: status === 'READY' ? moment(runAfter) : null,
    ...(typeof limitGroup === 'string' && { limited: true })
  }
}
