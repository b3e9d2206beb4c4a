import type { Selection } from '../store.js'
import type { Run, Session } from '../session.js'
import { returned } from '../row.js'
import { NOT_UNIQUE } from '../../core/errors.js'
import { breaksUniqueness } from '../faults.js'
import { putBack } from './guarded.js'
import { getMany } from './read.js'
import { endedBatches } from './selection.js'
import { takeTurn } from './turn.js'
import { dropExpired, readyAgain } from './unique-key.js'

type Ended = 'FAILED' | 'CANCELLED'

/**
 * FAILED and CANCELLED rows become READY, due now, with their errors kept and all budgets new. A row under a unique key
 * takes it again, as its enqueue did; where another row holds it, nothing is changed.
 */
export async function requeue (session: Session, selection: Selection): Promise<string[]> {
  const { dialect } = session
  const ids: string[] = []
  for (const status of ['FAILED', 'CANCELLED'] as const) {
    for await (const selected of endedBatches(session, selection, status)) {
      const seenAt = Math.max(...selected.map(({ finishedAt }) => finishedAt))
      const free = selected.filter(({ keyed }) => !keyed).map(({ id }) => id)
      if (free.length > 0) {
        const { rows, unsure } = await session.write('put tasks back', requeueing(session, status, dialect.isIn('r.id', 'uuid')), [dialect.list(free), seenAt])
        const back = new Set(rows.map(({ id }) => id as string))
        ids.push(...back, ...unsure ? await putBackEarlier(session, free.filter((id) => !back.has(id)), seenAt) : [])
      }
      for (const { id, keyed } of selected) if (keyed && await requeueKeyed(session, status, id, seenAt)) ids.push(id)
    }
  }
  return ids
}

/** What a try whose answer was lost has put back: nothing else takes the end from a row. It may have ended again since. */
async function putBackEarlier (session: Session, ids: readonly string[], seenAt: number): Promise<string[]> {
  return (await getMany(session, ids)).filter(({ finishedAt, status }) => finishedAt === null || finishedAt > seenAt || status === 'SUCCESSFUL').map(({ id }) => id)
}

/** One at a time: each may have to wait for an enqueue under its key, and may meet another one of the selection there. */
async function requeueKeyed (session: Session, status: Ended, id: string, seenAt: number): Promise<boolean> {
  try {
    const { value, unsure } = await session.transact('put a task back', async (run) => await takeKey(session, run, status, { id, seenAt }))
    return value || (unsure && (await putBackEarlier(session, [id], seenAt)).length > 0)
  } catch (error) {
    if (error instanceof NOT_UNIQUE) return false
    throw error
  }
}

async function takeKey (session: Session, run: Run, status: Ended, { id, seenAt }: { id: string, seenAt: number }): Promise<boolean> {
  const { tables } = session
  await takeTurn(session, run)
  const [row] = await run(`SELECT r.backend, r.task, r.unique_key FROM ${tables.results} r WHERE r.id = ?`, [id])
  if (row === undefined) return false
  await dropExpired(session, run, { backend: row['backend'] as string, task: row['task'] as string, key: row['unique_key'] as string })
  // By id on both sides: a row does not stand in its own way.
  const sameKey = 'o.backend = r.backend AND o.task = r.task AND o.unique_key = r.unique_key AND o.id <> r.id'
  const free = `NOT EXISTS (SELECT 1 FROM ${tables.results} o WHERE ${sameKey} AND o.unique_held)
    AND NOT EXISTS (SELECT 1 FROM ${tables.results} o WHERE ${sameKey} AND ${readyAgain('o')})`
  try {
    return (await run(requeueing(session, status, `r.id = ? AND ${free}`), [id, seenAt])).length === 1
  } catch (error) {
    // Somebody has enqueued under the key at this very moment.
    if (breaksUniqueness(error)) throw new NOT_UNIQUE(row['task'] as string, id)
    throw error
  }
}

// Not what has ended since it was selected: a try whose answer was lost had put it back, and it was run again.
function requeueing ({ dialect, tables }: Session, status: Ended, condition: string): string {
  return `
    UPDATE ${tables.results} AS r SET status = 'READY', ${putBack('true')}, holds = NULL,
      unique_held = CASE WHEN r.unique_key IS NULL THEN NULL ELSE true END, unique_until = n.at + r.unique_ms,
      quarantined = false, due = n.at, run_after = NULL, prior_attempts = r.attempts, deaths = 0, finished_at = NULL,
      failed_at = NULL, cancel_at = NULL, return_value = NULL, progress = NULL
    FROM (SELECT ${dialect.now} AS at) AS n
    WHERE ${condition} AND r.status = '${status}' AND r.finished_at <= ?
    RETURNING ${returned(dialect, ['id'])}`
}
