import type { Lane, StrangeGroup } from '../store.js'
import type { Run, Session } from '../session.js'
import { PARK_ROWS_MAX } from '../../core/limits.js'
import { putBack } from './guarded.js'
import { laneValues } from './lanes.js'
import { noteReturned, PLACE } from './returned.js'

export interface ParkRequest {
  readonly backend: string
  /** Names that the worker knows. */
  readonly tasks: readonly string[]
  /** Lanes, from where in them, of which the first due row has a name that the worker does not know. */
  readonly lanes: readonly Lane[]
  readonly groups: readonly StrangeGroup[]
}

/** Why a row with a name that no live worker knows is not claimable. One value a name, so that the index finds its rows. */
export function parkedFor (task: string): string {
  return `task ${task}`
}

/**
 * Put due rows whose names no live worker knows out of the way of claims, a bounded number of them. They stay READY, and
 * come back with the first worker that knows the name. A retry that keeps its concurrency key gives it away: it waits for
 * nobody knows how long, and takes its turn when it is back. Answers how many.
 */
export async function park (session: Session, { backend, tasks, lanes, groups }: ParkRequest): Promise<number> {
  const { dialect, tables } = session
  const known = new Set([...tasks, ...await liveTasks(session, backend)])
  const ids = [...await firstOfLanes(session, backend, lanes), ...await firstOfGroups(session, backend, groups)].filter(({ task }) => !known.has(task)).map(({ id }) => id)
  if (ids.length === 0) return 0
  const { rows } = await session.write('park tasks that no worker knows', `
    UPDATE ${tables.results} SET claimable = false, parked = 'task ' || task, waiting = NULL, holds = NULL
    WHERE ${dialect.isIn('id', 'uuid')} AND status = 'READY' AND (claimable OR waiting IS NOT NULL) RETURNING id`, [dialect.list(ids)])
  return rows.length
}

/** Let rows of these names be claimed again, a bounded number of them. Answers how many; as many as that where there may be more. */
export async function unpark (session: Session, backend: string, tasks: readonly string[]): Promise<number> {
  const { dialect, tables } = session
  // Seen by a read, so that a look which finds none takes no lock.
  const found = await session.read('look for parked tasks', `
    SELECT r.id FROM ${tables.results} r WHERE r.backend = ? AND ${dialect.isIn('r.parked', 'text')} LIMIT ${PARK_ROWS_MAX}`, [backend, dialect.list(tasks.map(parkedFor))])
  if (found.length === 0) return 0
  const { value } = await session.transact('let parked tasks go', async (run: Run) => {
    const rows = await run(`
      UPDATE ${tables.results} AS r SET ${putBack('true')} WHERE ${dialect.isIn('r.id', 'uuid')} AND r.status = 'READY' AND ${dialect.isIn('r.parked', 'text')}
      RETURNING ${PLACE.join(', ')}`, [dialect.list(found.map(({ id }) => id)), dialect.list(tasks.map(parkedFor))])
    await noteReturned(session, run, rows)
    return rows
  })
  // Those that somebody else let go in between are no reason to stop.
  return value.length === 0 ? 0 : found.length
}

/** The names that live workers know. */
async function liveTasks (session: Session, backend: string): Promise<string[]> {
  const clock = session.dialect.leaseClock()
  const records = await session.read('read the workers', `SELECT DISTINCT w.tasks FROM ${session.tables.workers} w WHERE w.backend = ? AND NOT ${clock.expired('w')}`, [backend, ...clock.expiredBound])
  return records.flatMap(({ tasks }) => JSON.parse(tasks as string) as string[])
}

interface Candidate { readonly id: string, readonly task: string }

async function firstOfLanes (session: Session, backend: string, lanes: readonly Lane[]): Promise<Candidate[]> {
  const found: Candidate[] = []
  for (const lane of lanes) {
    const [[queue, priority, due, seq]] = laneValues([lane]) as [unknown[]]
    const records = await session.read('look for tasks that no worker knows', `
      SELECT r.id, r.task FROM ${session.tables.results} r
      WHERE r.backend = ? AND r.queue = ? AND r.priority = ? AND r.claimable AND NOT r.quarantined AND (r.due, r.seq) > (?, ?) AND r.due <= ${session.dialect.now}
      ORDER BY r.due, r.seq LIMIT ${PARK_ROWS_MAX}`, [backend, queue, priority, due, seq])
    found.push(...records.map(({ id, task }) => ({ id: id as string, task: task as string })))
  }
  return found
}

async function firstOfGroups (session: Session, backend: string, groups: readonly StrangeGroup[]): Promise<Candidate[]> {
  const found: Candidate[] = []
  for (const { group, priority } of groups) {
    const records = await session.read('look for tasks that no worker knows', `
      SELECT r.id, r.task FROM ${session.tables.results} r
      WHERE r.backend = ? AND r.waiting = ? AND r.priority = ? AND NOT r.quarantined AND r.due <= ${session.dialect.now} ORDER BY r.due, r.seq LIMIT ${PARK_ROWS_MAX}`, [backend, group, priority])
    found.push(...records.map(({ id, task }) => ({ id: id as string, task: task as string })))
  }
  return found
}
