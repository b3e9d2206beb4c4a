import type { QueueStats, Stats } from '../store.js'
import type { Session } from '../session.js'
import { STATS_EXACT_ROWS_MAX } from '../../core/limits.js'
import { parkedNames, queueNames } from './queue-names.js'

type Counted = { count: number, exact: boolean }

/** What the queues hold: each count is exact up to 10,000 rows and then an estimate. */
export async function stats (session: Session, backend: string): Promise<Stats> {
  const { tables } = session
  const names = await queueNames(session, backend)
  const parked = await parkedNames(session, backend)
  const running = await countRunning(session, backend)
  const failed = await countFailed(session, backend)
  const paused = new Set((await session.read('read the queues', `SELECT name FROM ${tables.queues} WHERE backend = ? AND paused_at IS NOT NULL`, [backend])).map(({ name }) => name as string))
  const quarantined = await countQuarantined(session, backend)
  let exact = failed.exact
  const queues: Record<string, QueueStats> = Object.create(null)
  for (const queue of new Set([...names, ...running.byQueue.keys(), ...failed.counts.keys(), ...paused, ...quarantined.keys()])) {
    const ready = await countReady(session, backend, queue, parked, '<=')
    const deferred = await countReady(session, backend, queue, parked, '>')
    exact &&= ready.exact && deferred.exact
    const apart = quarantined.get(queue)
    queues[queue] = {
      ready: ready.count + (apart?.ready ?? 0),
      deferred: deferred.count + (apart?.deferred ?? 0),
      running: running.byQueue.get(queue) ?? 0,
      failed: failed.counts.get(queue) ?? 0,
      oldestReadyMs: await oldestReady(session, backend, queue, parked),
      paused: paused.has(queue)
    }
  }
  const workers = await liveWorkers(session, backend)
  const unknown = await unknownTasks(session, backend, parked, new Set(workers.flatMap(({ tasks }) => tasks)))
  return {
    queues,
    workers: workers.map(({ tasks, ...worker }) => ({ ...worker, running: running.byWorker.get(worker.id) ?? 0 })),
    unknownTasks: unknown.tasks,
    approximate: !exact || !unknown.exact
  }
}

/** From the claims, and not as workers have said: they say it with the lease, and that may be a third of one old. */
async function countRunning (session: Session, backend: string): Promise<{ byQueue: Map<string, number>, byWorker: Map<string, number> }> {
  const { dialect, tables } = session
  const held = dialect.elements('c.ids')
  const records = await session.read('count running tasks', `
    SELECT c.worker, r.queue, count(*) AS running FROM ${tables.claims} c CROSS JOIN ${held.from}
    JOIN ${tables.results} r ON r.id = ${held.id} AND r.status = 'RUNNING' AND r.worker = c.worker AND r.claim = c.claim
    WHERE c.backend = ? GROUP BY c.worker, r.queue`, [backend])
  const sums = (field: 'queue' | 'worker'): Map<string, number> => {
    const found = new Map<string, number>()
    for (const { [field]: name, running } of records) found.set(name as string, (found.get(name as string) ?? 0) + Number(running))
    return found
  }
  return { byQueue: sums('queue'), byWorker: sums('worker') }
}

async function countReady (session: Session, backend: string, queue: string, parked: readonly string[], side: '<=' | '>'): Promise<Counted> {
  const { dialect } = session
  const scope = (condition: string): string => `r.backend = ? AND r.queue = ? AND ${condition} AND NOT r.quarantined AND r.due ${side} ${dialect.now}`
  const free = await count(session, scope('r.claimable'), [backend, queue])
  const held = await Promise.all(parked.map(async (why) => await count(session, scope('r.parked = ?'), [backend, queue, why])))
  const all = [free, ...held]
  return { count: all.reduce((sum, { count }) => sum + count, 0), exact: all.every(({ exact }) => exact) }
}

/** READY rows that only a worker with a process to spare may take, with limits and without: few, in indexes of their own. */
async function countQuarantined (session: Session, backend: string): Promise<Map<string, { ready: number, deferred: number }>> {
  const { dialect, tables } = session
  const rows = `SELECT r.queue, CASE WHEN r.due <= ${dialect.now} THEN 1 ELSE 0 END AS ready FROM ${tables.results} r WHERE r.backend = ? AND r.quarantined`
  const records = await session.read('count quarantined tasks', `
    SELECT s.queue, sum(s.ready) AS ready, count(*) - sum(s.ready) AS deferred FROM (
      ${rows} AND r.claimable UNION ALL ${rows} AND r.waiting IS NOT NULL LIMIT ?
    ) AS s GROUP BY s.queue`, [backend, backend, STATS_EXACT_ROWS_MAX])
  return new Map(records.map(({ queue, ready, deferred }) => [queue as string, { ready: Number(ready), deferred: Number(deferred) }]))
}

/** Exactly as far as the limit; beyond it by a sample of the table, or where the database takes none, to the end. */
async function count (session: Session, condition: string, bindings: readonly unknown[]): Promise<Counted> {
  const max = STATS_EXACT_ROWS_MAX
  const rows = `FROM ${session.tables.results} r WHERE ${condition}`
  const [record] = await session.read('count tasks', `SELECT count(*) AS found FROM (SELECT 1 ${rows} LIMIT ?) AS found`, [...bindings, max + 1])
  const found = Number(record?.['found'])
  if (found <= max) return { count: found, exact: true }
  const estimated = await session.estimate(session.tables.results, condition, bindings)
  if (estimated !== null) return { count: Math.max(found, Math.round(estimated)), exact: false }
  const [all] = await session.read('count tasks', `SELECT count(*) AS found ${rows}`, bindings)
  return { count: Number(all?.['found']), exact: false }
}

async function countFailed (session: Session, backend: string): Promise<{ counts: Map<string, number>, exact: boolean }> {
  const { tables } = session
  const max = STATS_EXACT_ROWS_MAX
  const newest = `SELECT r.queue FROM ${tables.results} r WHERE r.backend = ? AND r.failed_at IS NOT NULL ORDER BY r.id DESC LIMIT ?`
  const records = await session.read('count failed tasks', `SELECT f.queue, count(*) AS failed FROM (${newest}) AS f GROUP BY f.queue`, [backend, max + 1])
  const counts = new Map(records.map(({ queue, failed }) => [queue as string, Number(failed)]))
  const found = [...counts.values()].reduce((sum, failed) => sum + failed, 0)
  if (found <= max) return { counts, exact: true }
  const estimated = await session.estimate(tables.results, 'r.backend = ? AND r.failed_at IS NOT NULL', [backend]) ?? found
  // The newest show how the queues share them.
  const factor = Math.max(1, estimated / found)
  return { counts: new Map([...counts].map(([queue, failed]) => [queue, Math.round(failed * factor)])), exact: false }
}

async function oldestReady (session: Session, backend: string, queue: string, parked: readonly string[]): Promise<number | null> {
  const { dialect, tables } = session
  // The first of each priority, at most 201 index look-ups.
  const [record] = await session.read('read the oldest ready task', `
    WITH RECURSIVE lane AS (
      SELECT max(r.priority) AS priority FROM ${tables.results} r WHERE r.backend = ? AND r.queue = ? AND r.claimable AND NOT r.quarantined
      UNION ALL
      SELECT (SELECT max(r.priority) FROM ${tables.results} r WHERE r.backend = ? AND r.queue = ? AND r.claimable AND NOT r.quarantined AND r.priority < lane.priority)
      FROM lane WHERE lane.priority IS NOT NULL
    )
    SELECT ${dialect.now} - min((SELECT min(r.due) FROM ${tables.results} r WHERE r.backend = ? AND r.queue = ? AND r.claimable AND NOT r.quarantined AND r.priority = lane.priority)) AS age
    FROM lane WHERE lane.priority IS NOT NULL`, [backend, queue, backend, queue, backend, queue])
  const held = await Promise.all(parked.map(async (why) => (await session.read('read the oldest ready task', `
    SELECT ${dialect.now} - min(r.due) AS age FROM ${tables.results} r WHERE r.backend = ? AND r.parked = ? AND r.queue = ?`, [backend, why, queue]))[0]))
  // Negative: all of it is deferred.
  const ages = [record, ...held].flatMap((found) => found?.['age'] === null || found?.['age'] === undefined ? [] : [Number(found['age'])]).filter((age) => age >= 0)
  return ages.length === 0 ? null : Math.max(...ages)
}

async function liveWorkers (session: Session, backend: string): Promise<Array<Omit<Stats['workers'][number], 'running'> & { tasks: string[] }>> {
  const { dialect, tables } = session
  const clock = dialect.leaseClock()
  const records = await session.read('read the workers', `SELECT id, last_seen, quarantine, tasks FROM ${tables.workers} w WHERE w.backend = ? AND NOT ${clock.expired('w')} ORDER BY w.id`, [backend, ...clock.expiredBound])
  return records.map(({ id, last_seen: lastSeen, quarantine, tasks }) => ({ id: id as string, lastSeen: Number(lastSeen), quarantine: quarantine === true || quarantine === 1, tasks: JSON.parse(tasks as string) as string[] }))
}

/**
 * READY rows of names that no live worker knows: those that were put out of the way, and others among the first of the
 * queues, as far as rows are counted.
 */
async function unknownTasks (session: Session, backend: string, parked: readonly string[], known: ReadonlySet<string>): Promise<{ tasks: Stats['unknownTasks'], exact: boolean }> {
  const { dialect, tables } = session
  const due = `NOT r.quarantined AND r.due <= ${dialect.now}`
  const counts = new Map<string, number>()
  let exact = true
  for (const [condition, bindings] of [['r.claimable', []], ...parked.map((why) => ['r.parked = ?', [why]] as const)] as const) {
    const records = await session.read('look for unknown tasks', `
      SELECT s.task, count(*) AS ready FROM (
        SELECT r.task FROM ${tables.results} r WHERE r.backend = ? AND ${condition} AND ${due} LIMIT ?
      ) AS s GROUP BY s.task`, [backend, ...bindings, STATS_EXACT_ROWS_MAX])
    for (const { task, ready } of records) counts.set(task as string, (counts.get(task as string) ?? 0) + Number(ready))
    if (condition !== 'r.claimable' && records.reduce((sum, { ready }) => sum + Number(ready), 0) >= STATS_EXACT_ROWS_MAX) exact = false
  }
  const tasks = [...counts].sort(([a], [b]) => a < b ? -1 : 1).filter(([name]) => !known.has(name)).map(([name, ready]) => ({ name, ready }))
  return { tasks, exact }
}
