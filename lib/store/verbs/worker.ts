import type { Renewal, Token, WorkerRow } from '../store.js'
import type { Session } from '../session.js'
import { Deadline } from '../deadline.js'
import { cancelled } from './cancels.js'
import { releaseClaims } from './release.js'

/** Write the worker's row with its lease. */
export async function register (session: Session, worker: WorkerRow): Promise<void> {
  const { dialect, realNow, tables } = session
  const clock = dialect.leaseClock()
  await session.write('register the worker', `
    INSERT INTO ${tables.workers} (id, backend, lease_until, lease_ms, last_seen, started_at, running, quarantine, tasks)
    SELECT ?, ?, ${clock.now} + ?, ?, n.at, n.at, 0, ${String(worker.quarantine)}, ? FROM (SELECT ${realNow} AS at) AS n
    WHERE true
    ON CONFLICT (id) DO NOTHING`, [worker.id, worker.backend, ...clock.bound, worker.leaseMs, worker.leaseMs, JSON.stringify(worker.tasks)])
}

/** A lease that has run out is not renewed: what it held may have been taken. */
export async function renew (session: Session, worker: string, leaseMs: number, running: number): Promise<Renewal> {
  const { dialect, realNow, tables } = session
  const clock = dialect.leaseClock()
  const { rows } = await session.write('renew the lease', `
    UPDATE ${tables.workers} SET lease_until = ${clock.now} + ?, lease_ms = ?, last_seen = ${realNow}, running = ?
    WHERE id = ? AND lease_until > ${clock.now} RETURNING id`, [...clock.bound, leaseMs, leaseMs, running, worker, ...clock.bound])
  if (rows.length === 0) return { held: false, claims: [], cancelled: [] }
  return { held: true, ...await newsOf(session, worker, Math.max(leaseMs / 6, NEWS_MIN_MS)) }
}

const NEWS_MIN_MS = 100

/** What the worker may want to know besides. Not worth its lease: somebody may have locked the tables that say it. */
async function newsOf (session: Session, worker: string, milliseconds: number): Promise<Omit<Renewal, 'held'>> {
  const none: Omit<Renewal, 'held'> = { claims: [], cancelled: [] }
  const news = Promise.all([
    session.read('read the worker\'s claims', `SELECT claim FROM ${session.tables.claims} WHERE worker = ?`, [worker]),
    cancelled(session, worker)
  ]).then(([claims, ids]) => ({ claims: claims.map(({ claim }) => Number(claim)), cancelled: ids }))
  return await new Deadline(milliseconds).limit(news, () => {}).catch(() => none)
}

/** Hand back what the worker still holds, and take its row away. */
export async function deregister (session: Session, worker: string): Promise<string[]> {
  const { tables } = session
  const { value } = await session.transact('sign the worker off', async (run) => {
    await run(`DELETE FROM ${tables.workers} WHERE id = ?`, [worker])
    const released = await releaseClaims(session, run, worker, null)
    await run(`DELETE FROM ${tables.cancels} WHERE worker = ?`, [worker])
    return released
  })
  return value
}

/** Only ever raised: a mark whose answer was lost may be sent again. */
export async function markStarted (session: Session, { worker, claim }: Token, started: number): Promise<void> {
  await session.write('mark tasks as started', `UPDATE ${session.tables.claims} SET started = ? WHERE worker = ? AND claim = ? AND started < ?`, [started, worker, claim, started], { plan: 'once' })
}

/** Only ever lowered, likewise. */
export async function unmarkStarted (session: Session, { worker, claim }: Token, started: number): Promise<void> {
  await session.write('mark tasks as not started', `
    UPDATE ${session.tables.claims} SET started = CASE WHEN claim = ? THEN ? ELSE 0 END
    WHERE worker = ? AND (claim > ? OR (claim = ? AND started > ?))`, [claim, started, worker, claim, claim, started])
}

/** Store progress, guarded by the token. */
export async function progress (session: Session, worker: string, row: { id: string, claim: number }, value: string): Promise<boolean> {
  const { rows } = await session.write('store progress', `
    UPDATE ${session.tables.results} SET progress = ? WHERE id = ? AND status = 'RUNNING' AND worker = ? AND claim = ? RETURNING id`, [value, row.id, worker, row.claim])
  return rows.length === 1
}
