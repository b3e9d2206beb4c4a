import type { Ending, FinishedRow } from '../store.js'
import type { TaskResultStatus } from '../../core/status.js'
import type { Run, Session } from '../session.js'
import { moment, returned } from '../row.js'

const INPUT = [['id', 'uuid'], ['claim', 'bigint'], ['status', 'text'], ['return_value', 'text'], ['errors', 'text'], ['delay', 'bigint']] as const

/**
 * Write endings and retries, each guarded by its token, many in one statement. A result whose cancellation was asked
 * for ends CANCELLED whatever its attempt led to: `cancel()` has said so.
 */
export async function finish (session: Session, worker: string, endings: readonly Ending[], ended: readonly number[]): Promise<FinishedRow[]> {
  const { dialect } = session
  const { sql, bindings } = finishStatement(session, worker, endings)
  const { value: records, tries } = dialect.writesInCtes
    ? await withEnded(session, worker, sql, bindings, ended)
    : ended.length === 0
      ? await session.write('finish tasks', sql, bindings).then(({ rows, tries }) => ({ value: rows, tries }))
      : await session.transact('finish tasks', async (run) => {
        const finished = await run(sql, bindings)
        await run(...endClaims(session, worker, ended))
        return finished
      })
  const accepted = records.map(toFinished)
  if (tries === 1 || accepted.length === endings.length) return accepted
  return [...accepted, ...await findWritten(session, worker, endings, accepted)]
}

/** The same for one row, in a transaction of the task's own; not where it is to be cancelled. */
export async function finishIn (session: Session, run: Run, worker: string, ending: Ending): Promise<boolean> {
  const { sql, bindings } = finishStatement(session, worker, [ending], 'AND r.cancel_at IS NULL')
  return (await run(sql, bindings)).length === 1
}

function finishStatement (session: Session, worker: string, endings: readonly Ending[], guard = ''): { sql: string, bindings: unknown[] } {
  const { dialect, tables } = session
  const source = dialect.rows(INPUT)
  // PostgreSQL reads the old row on the right-hand sides, and so does SQLite: `status` in the CASEs is the one asked for.
  const cancelled = 'r.cancel_at IS NOT NULL'
  const retried = `(i.status = 'READY' AND NOT (${cancelled}))`
  const sql = `
    UPDATE ${tables.results} AS r SET
      status = CASE WHEN ${cancelled} THEN 'CANCELLED' ELSE i.status END,
      claimable = ${retried},
      due = CASE WHEN ${retried} THEN n.at + i.delay ELSE r.due END,
      run_after = CASE WHEN ${retried} THEN n.at + i.delay ELSE r.run_after END,
      finished_at = CASE WHEN ${retried} THEN NULL ELSE n.at END,
      failed_at = CASE WHEN i.status = 'FAILED' AND NOT (${cancelled}) THEN n.at ELSE NULL END,
      cancel_at = CASE WHEN i.status = 'CANCELLED' THEN coalesce(r.cancel_at, n.at) ELSE r.cancel_at END,
      return_value = CASE WHEN ${cancelled} THEN NULL ELSE i.return_value END,
      errors = coalesce(i.errors, r.errors),
      unique_key = CASE WHEN ${retried} OR r.unique_until IS NOT NULL THEN r.unique_key ELSE NULL END
    FROM ${source.sql} AS i CROSS JOIN (SELECT ${dialect.now} AS at) AS n
    WHERE r.id = i.id AND r.status = 'RUNNING' AND r.worker = ? AND r.claim = i.claim ${guard}
    RETURNING ${returned(dialect, ['id', 'status', 'finished_at', 'run_after'])}, ${dialect.now} AS at`
  return { sql, bindings: [...source.bind(endings.map(values)), worker] }
}

async function withEnded (session: Session, worker: string, sql: string, bindings: unknown[], ended: readonly number[]): Promise<{ value: Array<Record<string, unknown>>, tries: number }> {
  const { dialect, tables } = session
  // The notifications are sent only where somebody waits at all: the first sub-query is asked once a statement.
  const { rows, tries } = await session.write('finish tasks', `
    WITH done AS (${sql}),
    gone AS (DELETE FROM ${tables.claims} WHERE worker = ? AND ${dialect.isIn('claim', 'bigint')})
    SELECT d.*, CASE WHEN (SELECT EXISTS (SELECT 1 FROM ${tables.waits}))
      THEN (SELECT count(pg_notify(?, 'ended:' || w.id::text)) FROM ${tables.waits} w WHERE w.id = d.id) END AS told
    FROM done d`, [...bindings, worker, dialect.list(ended), session.channel])
  return { value: rows, tries }
}

export function endClaims ({ dialect, tables }: Session, worker: string, ended: readonly number[]): [string, unknown[]] {
  return [`DELETE FROM ${tables.claims} WHERE worker = ? AND ${dialect.isIn('claim', 'bigint')}`, [worker, dialect.list(ended)]]
}

/** After a fault, rows that were not changed this time may have been changed by the try whose answer was lost. */
async function findWritten (session: Session, worker: string, endings: readonly Ending[], accepted: readonly FinishedRow[]): Promise<FinishedRow[]> {
  const { dialect, tables } = session
  const known = new Set(accepted.map(({ id }) => id))
  const missing = endings.filter(({ id }) => !known.has(id))
  const source = dialect.rows([['id', 'uuid'], ['claim', 'bigint']])
  const { rows } = await session.write('finish tasks', `
    SELECT r.id, r.status, r.finished_at, r.run_after, ${dialect.now} AS at FROM ${source.sql} AS i JOIN ${tables.results} r ON r.id = i.id
    WHERE r.worker = ? AND r.claim = i.claim AND r.status <> 'RUNNING'`, [...source.bind(missing.map(({ id, claim }) => [id, claim])), worker])
  return rows.map(toFinished)
}

// Kept off the hot path: most endings are successes without errors or delay.
function values (ending: Ending): unknown[] {
  return [
    ending.id, ending.claim, ending.status,
    ending.status === 'SUCCESSFUL' ? ending.returnValue : null,
    ending.status === 'SUCCESSFUL' ? null : JSON.stringify(ending.errors),
    ending.status === 'READY' ? Math.max(0, Math.round(ending.delay)) : null
  ]
}

function toFinished (record: Record<string, unknown>): FinishedRow {
  return {
    id: record['id'] as string,
    status: record['status'] as TaskResultStatus,
    at: moment(record['finished_at']) ?? Number(record['at']),
    runAfter: moment(record['run_after'])
  }
}
