import type { Row, Selection } from '../store.js'
import type { Session } from '../session.js'
import { returned, toRow } from '../row.js'
import { isId } from './read.js'

// Rows of one statement, so that a cancel of a million holds no lock for long.
const BATCH = 1_000

/** READY rows end at once; RUNNING ones are marked, and the workers that hold them told. */
export async function cancel (session: Session, selection: Selection): Promise<{ cancelled: Row[], signalled: string[] }> {
  const { dialect, tables } = session
  const cancelled: Row[] = []
  for (;;) {
    const [condition, bindings] = conditionOf(session, selection, 'READY')
    if (condition === null) break
    const { rows } = await session.write('cancel tasks', `
      UPDATE ${tables.results} AS r SET status = 'CANCELLED', claimable = ${dialect.name === 'postgres' ? 'false' : '0'}, parked = NULL,
        cancel_at = n.at, finished_at = n.at, unique_key = CASE WHEN r.unique_until IS NULL THEN NULL ELSE r.unique_key END
      FROM (SELECT ${dialect.now} AS at) AS n
      WHERE r.id IN (SELECT r.id FROM ${tables.results} r WHERE ${condition} LIMIT ${BATCH}) AND r.status = 'READY'
      RETURNING ${returned(dialect)}`, bindings)
    cancelled.push(...rows.map(toRow))
    if (rows.length < BATCH) break
  }
  return { cancelled, signalled: await signal(session, selection) }
}

async function signal (session: Session, selection: Selection): Promise<string[]> {
  const { dialect, tables } = session
  const [condition, bindings] = conditionOf(session, selection, 'RUNNING')
  if (condition === null) return []
  const { value } = await session.transact('cancel running tasks', async (run) => {
    const marked = await run(`
      UPDATE ${tables.results} AS r SET cancel_at = coalesce(r.cancel_at, n.at) FROM (SELECT ${dialect.now} AS at) AS n
      WHERE ${condition} RETURNING ${returned(dialect, ['id', 'worker'])}`, bindings)
    const source = dialect.rows([['worker', 'text'], ['id', 'uuid']])
    if (marked.length > 0) {
      await run(`INSERT INTO ${tables.cancels} (worker, id) SELECT i.worker, i.id FROM ${source.sql} AS i WHERE true ON CONFLICT DO NOTHING`, source.bind(marked.map(({ worker, id }) => [worker, id])))
    }
    return marked.map(({ id }) => id as string)
  })
  return value
}

/** FAILED and CANCELLED rows become READY, due now, with their errors kept and all budgets new. */
export async function requeue (session: Session, selection: Selection): Promise<string[]> {
  const { dialect, tables } = session
  const ids: string[] = []
  for (const status of ['FAILED', 'CANCELLED'] as const) {
    for (;;) {
      const [condition, bindings] = conditionOf(session, selection, status)
      if (condition === null) break
      const { rows } = await session.write('put tasks back', `
        UPDATE ${tables.results} AS r SET status = 'READY', claimable = ${dialect.name === 'postgres' ? 'true' : '1'},
          quarantined = ${dialect.name === 'postgres' ? 'false' : '0'}, due = n.at, run_after = NULL, prior_attempts = r.attempts, deaths = 0, finished_at = NULL,
          failed_at = NULL, cancel_at = NULL, return_value = NULL, progress = NULL
        FROM (SELECT ${dialect.now} AS at) AS n
        WHERE r.id IN (SELECT r.id FROM ${tables.results} r WHERE ${condition} LIMIT ${BATCH}) AND r.status = '${status}'
        RETURNING ${returned(dialect, ['id'])}`, bindings)
      ids.push(...rows.map(({ id }) => id as string))
      if (rows.length < BATCH) break
    }
  }
  return ids
}

export async function setPaused (session: Session, backend: string, queue: string, paused: boolean): Promise<void> {
  const { dialect, tables } = session
  await session.write(paused ? 'pause the queue' : 'resume the queue', `
    INSERT INTO ${tables.queues} (backend, name, paused_at) SELECT ?, ?, ${paused ? dialect.now : 'NULL'} WHERE true
    ON CONFLICT (backend, name) DO UPDATE SET paused_at = excluded.paused_at`, [backend, queue])
}

/** The rows of a selection that have this status; null where there can be none. */
function conditionOf ({ tables, dialect }: Session, selection: Selection, status: string): [string | null, unknown[]] {
  const hint = { FAILED: ' AND r.failed_at IS NOT NULL', CANCELLED: ' AND r.cancel_at IS NOT NULL' }[status] ?? ''
  const conditions = [`r.backend = ? AND r.status = '${status}'${hint}`]
  const bindings: unknown[] = [selection.backend]
  if ('id' in selection) return isId(selection.id) ? [`${conditions[0] as string} AND r.id = ?`, [...bindings, selection.id]] : [null, []]
  if (selection.status !== undefined && selection.status !== status) return [null, []]
  if (selection.queue !== undefined) { conditions.push('r.queue = ?'); bindings.push(selection.queue) }
  if (selection.task !== undefined) { conditions.push('r.task = ?'); bindings.push(selection.task) }
  if (selection.tag !== undefined) { conditions.push(`r.id IN (SELECT g.id FROM ${tables.tags} g WHERE g.tag = ?)`); bindings.push(selection.tag) }
  const held = dialect.elements('c.ids')
  if (status === 'RUNNING') conditions.push(`r.id IN (SELECT ${held.id} FROM ${tables.claims} c CROSS JOIN ${held.from})`)
  return [conditions.join(' AND '), bindings]
}
