import type { Rescued } from '../store.js'
import type { Run, Session } from '../session.js'
import { toRow } from '../row.js'
import { WORKER_LOST } from '../../core/errors.js'
import { ERRORS_MAX, QUARANTINE_DEATHS } from '../../core/limits.js'
import { guardedUpdate, lockOrPass, putBack } from './guarded.js'
import { handBack } from './release.js'
import { forgetReturned, noteReturned, PLACE } from './returned.js'

/**
 * Take back what dead workers hold. First fence them, so that they can neither claim nor renew again; then change each
 * row that their claims name, guarded by its own token. Never read, then write: a task that finished in between stays
 * finished.
 */
export async function rescue (session: Session, backend: string, crashBudget: number): Promise<Rescued> {
  if (!await isNeeded(session, backend)) return { workers: [], charged: [], released: [] }
  const workers = await fence(session, backend)
  const { value } = await session.transact('rescue tasks', async (run) => await takeBack(session, run, backend, crashBudget))
  return { workers, ...value }
}

/** Seen by a read, so that a sweep that finds nothing takes no lock. */
async function isNeeded (session: Session, backend: string): Promise<boolean> {
  const { dialect, tables } = session
  const clock = dialect.leaseClock()
  const [record] = await session.read('look for dead workers', `
    SELECT EXISTS (SELECT 1 FROM ${tables.workers} w WHERE w.backend = ? AND ${clock.expired('w')}) AS expired,
      EXISTS (SELECT 1 FROM ${tables.claims} c WHERE c.backend = ? AND NOT EXISTS (SELECT 1 FROM ${tables.workers} w WHERE w.id = c.worker)) AS orphaned`, [backend, ...clock.expiredBound, backend])
  return isTrue(record?.['expired']) || isTrue(record?.['orphaned'])
}

async function fence (session: Session, backend: string): Promise<string[]> {
  const { dialect, tables } = session
  const clock = dialect.leaseClock()
  // SKIP LOCKED: a worker in the middle of a claim or a renewal is met again by the next sweep.
  const { rows } = await session.write('fence dead workers', `
    UPDATE ${tables.workers} SET lease_until = 0 WHERE ${dialect.isAmong('id', `
      SELECT w.id FROM ${tables.workers} w WHERE w.backend = ? AND w.lease_until <> 0 AND ${clock.expired('w')} ${dialect.skipLocked}`)}
    RETURNING id`, [backend, ...clock.expiredBound])
  return rows.map(({ id }) => id as string)
}

async function takeBack (session: Session, run: Run, backend: string, crashBudget: number): Promise<Omit<Rescued, 'workers'>> {
  const { tables } = session
  // The delete locks the claims: of two rescuers one gets them.
  const lost = await run(`
    DELETE FROM ${tables.claims} WHERE backend = ? AND NOT EXISTS (
      SELECT 1 FROM ${tables.workers} w WHERE w.id = ${tables.claims}.worker AND w.lease_until > 0
    ) RETURNING worker, claim, started, ids`, [backend])
  const held = lost.flatMap(({ worker, claim, started, ids }) => session.dialect.idsOf(ids)
    .map((id, index) => ({ id, worker: worker as string, claim: Number(claim), started: index < Number(started) })))
  // A session of the dead that is still open may keep a row locked for hours: the others do not wait for it.
  const busy = await lockOrPass(session, run, held.map(({ id }) => id))
  const free = held.filter(({ id }) => !busy.has(id))
  const charged = await charge(session, run, free.filter(({ started }) => started), crashBudget)
  const released = await giveBack(session, run, free.filter(({ started }) => !started))
  await keepClaims(session, run, backend, lost.filter(({ ids }) => session.dialect.idsOf(ids).some((id) => busy.has(id))))
  await run(`DELETE FROM ${tables.cancels} WHERE NOT EXISTS (SELECT 1 FROM ${tables.workers} w WHERE w.id = ${tables.cancels}.worker AND w.lease_until > 0)`)
  await run(`DELETE FROM ${tables.workers} WHERE lease_until = 0 AND backend = ? AND NOT EXISTS (SELECT 1 FROM ${tables.claims} c WHERE c.worker = ${tables.workers}.id)`, [backend])
  await forgetReturned(session, run, backend)
  return { charged: charged.map(toRow), released }
}

/** Those with a row that was not to be had: the next sweep meets them again. What was taken back of them is another's by its token. */
async function keepClaims ({ dialect, tables }: Session, run: Run, backend: string, claims: ReadonlyArray<Record<string, unknown>>): Promise<void> {
  for (const { worker, claim, started, ids } of claims) {
    await run(`INSERT INTO ${tables.claims} (worker, claim, backend, started, ids) VALUES (?, ?, ?, ?, ?)`, [worker, claim, backend, started, dialect.idList(dialect.idsOf(ids))])
  }
}

interface Held { readonly id: string, readonly worker: string, readonly claim: number }
const HELD = [['id', 'uuid'], ['worker', 'text'], ['claim', 'bigint'], ['message', 'text'], ['budget', 'int']] as const

/** The attempt died: one death more, an error that says so, and READY again while the crash budget lasts. */
async function charge (session: Session, run: Run, held: readonly Held[], crashBudget: number): Promise<Array<Record<string, unknown>>> {
  if (held.length === 0) return []
  const { dialect } = session
  const source = dialect.rows(HELD)
  const cancelled = 'r.cancel_at IS NOT NULL'
  const spent = 'r.deaths + 1 >= i.budget'
  const ready = `NOT (${cancelled} OR ${spent})`
  const error = dialect.jsonObject([
    ['exceptionClass', "'WorkerLost'"], ['message', 'i.message'], ['code', "'FST_TASKS_WORKER_LOST'"],
    ['traceback', "''"], ['attempt', 'r.attempts'], ['at', 'n.at']
  ])
  const set = `
    status = CASE WHEN ${cancelled} THEN 'CANCELLED' WHEN ${spent} THEN 'FAILED' ELSE 'READY' END,
    ${putBack(ready)},
    holds = CASE WHEN ${ready} AND r.concurrency_limit = 1 THEN r.holds ELSE NULL END,
    quarantined = r.deaths + 1 >= ${QUARANTINE_DEATHS},
    deaths = r.deaths + 1, claim = NULL,
    finished_at = CASE WHEN ${ready} THEN NULL ELSE n.at END,
    failed_at = CASE WHEN NOT (${cancelled}) AND ${spent} THEN n.at ELSE NULL END,
    unique_held = CASE WHEN ${ready} OR r.unique_until IS NOT NULL THEN r.unique_held ELSE NULL END,
    errors = CASE WHEN r.errors IS NULL OR r.errors = '[]' THEN '[' || ${error} || ']' ELSE ${dialect.dropLast(`(${dialect.room('r.errors', ERRORS_MAX)})`)} || ',' || ${error} || ']' END`
  const values = held.map(({ id, worker, claim }) => [id, worker, claim, new WORKER_LOST(worker).message, crashBudget])
  const records = await run(guardedUpdate(session, { source, set, worker: 'i.worker' }), source.bind(values))
  await noteReturned(session, run, records.filter(({ status }) => status === 'READY'))
  return records
}

async function giveBack (session: Session, run: Run, held: readonly Held[]): Promise<string[]> {
  if (held.length === 0) return []
  const source = session.dialect.rows(HELD)
  const values = held.map(({ id, worker, claim }) => [id, worker, claim, null, null])
  const records = await run(guardedUpdate(session, { source, set: handBack(session.dialect), worker: 'i.worker', returning: ['id', ...PLACE] }), source.bind(values))
  await noteReturned(session, run, records)
  return records.map(({ id }) => id as string)
}

function isTrue (value: unknown): boolean {
  return value === true || value === 1
}
