import type { Run, Session } from '../session.js'
import { RETURNED_KEPT_MS } from '../../core/limits.js'

/** What a statement must return of rows that it puts back, for `noteReturned`. */
export const PLACE = ['backend', 'queue', 'priority', 'due'] as const

/**
 * Write down where rows became ready again that are due as before: workers whose cursors have passed them turn back.
 * One row a lane. Nothing to do where no claim begins behind the start of its lane.
 */
export async function noteReturned ({ dialect, tables }: Session, run: Run, rows: ReadonlyArray<Record<string, unknown>>): Promise<void> {
  if (!dialect.deadEntries || rows.length === 0) return
  const first = new Map<string, unknown[]>()
  for (const { backend, queue, priority, due } of rows) {
    const key = JSON.stringify([backend, queue, priority])
    const known = first.get(key)
    if (known === undefined || Number(due) < Number(known[3])) first.set(key, [backend, queue, priority, due])
  }
  const source = dialect.rows([['backend', 'text'], ['queue', 'text'], ['priority', 'int'], ['due', 'bigint']])
  await run(`INSERT INTO ${tables.returned} (backend, at, queue, priority, due) SELECT i.backend, n.at, i.queue, i.priority, i.due FROM ${source.sql} AS i CROSS JOIN (SELECT ${dialect.now} AS at) AS n`, source.bind([...first.values()]))
}

/** By now every worker has seen them, or has begun anew. */
export async function forgetReturned ({ dialect, tables }: Session, run: Run, backend: string): Promise<void> {
  if (dialect.deadEntries) await run(`DELETE FROM ${tables.returned} WHERE backend = ? AND at < ${dialect.now} - ${RETURNED_KEPT_MS}`, [backend])
}
