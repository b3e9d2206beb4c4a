import type { Session } from '../session.js'

/** Running rows of the worker that are to be cancelled. */
export async function cancelled (session: Session, worker: string): Promise<string[]> {
  const { dialect, tables } = session
  const rows = await session.read('look for cancelled tasks', `
    SELECT c.id FROM (SELECT m.id, m.worker FROM ${tables.cancels} m WHERE m.worker = ?) AS c ${dialect.lookUp(tables.results)}
      AND r.status = 'RUNNING' AND r.worker = c.worker AND r.cancel_at IS NOT NULL`, [worker], { plan: 'once' })
  return rows.map(({ id }) => id as string)
}

/** Take away what was heard, so that a worker which lives for months is not asked about all it ever cancelled. */
export async function forgetCancels (session: Session, worker: string, ids: readonly string[]): Promise<void> {
  const { dialect, tables } = session
  // Not worth failing for: a mark that stays is without effect, and goes with the worker.
  await session.write('forget cancellations', `DELETE FROM ${tables.cancels} WHERE worker = ? AND ${dialect.isIn('id', 'uuid')}`, [worker, dialect.list(ids)]).catch(() => {})
}
