import type { LimitedHead, LimitedHeads } from '../store.js'
import type { Session } from '../session.js'
import { LIMITED_GROUPS_MAX } from '../../core/limits.js'
import { decodeLimits, QUEUE_GROUP } from '../limits.js'

export interface HeadsRequest {
  readonly backend: string
  readonly tasks: readonly string[]
  readonly quarantined?: boolean
  /** Groups behind this one; null from the first. */
  readonly after: string | null
}

/**
 * The first due row of each group of limited rows that may have room: a skip scan, so that a group of a million rows
 * costs what a group of one does. Groups whose concurrency key is full are left out.
 */
export async function limitedHeads (session: Session, { backend, tasks, quarantined = false, after }: HeadsRequest): Promise<LimitedHeads> {
  const { dialect, tables } = session
  const flag = `${quarantined ? '' : 'NOT '}r.quarantined`
  const rows = `${tables.results} r WHERE r.backend = ?`
  const records = await session.read('look for limited tasks', `
    WITH RECURSIVE groups (name, place) AS (
      SELECT (SELECT min(r.waiting) FROM ${rows} AND r.waiting > ?), 1
      UNION ALL
      SELECT (SELECT min(r.waiting) FROM ${rows} AND r.waiting > groups.name), groups.place + 1
      FROM groups WHERE groups.name IS NOT NULL AND groups.place < ${LIMITED_GROUPS_MAX}
    ),
    heads AS (
      SELECT groups.name, (SELECT r.id FROM ${rows} AND r.waiting = groups.name AND r.due <= ${dialect.now} AND ${flag} AND ${dialect.isIn('r.task', 'text')}
        ORDER BY r.priority DESC, r.due, r.seq LIMIT 1) AS id
      FROM groups WHERE groups.name IS NOT NULL
    )
    SELECT h.name, n.at AS now, r.id, r.queue, r.priority, r.due, r.limits,
      CASE WHEN r.concurrency_key IS NULL THEN 0 ELSE (SELECT count(*) FROM ${tables.results} x WHERE x.backend = r.backend AND x.concurrency_key = r.concurrency_key AND x.holds) END AS held,
      CASE WHEN r.concurrency_key IS NULL THEN 0 ELSE (SELECT count(*) FROM ${tables.results} x WHERE x.backend = r.backend AND x.concurrency_key = r.concurrency_key AND x.holds AND x.status = 'READY' AND x.due <= n.at) END AS coming
    FROM (SELECT ${dialect.now} AS at) AS n LEFT JOIN heads h ON true
    LEFT JOIN ${tables.results} r ON r.id = h.id`,
  [backend, after ?? '', backend, backend, dialect.list(tasks)])
  const paused = new Set((await session.read('read the queues', `SELECT name FROM ${tables.queues} WHERE backend = ? AND paused_at IS NOT NULL`, [backend])).map(({ name }) => name as string))
  const found = records.filter(({ name }) => name !== null)
  const heads = found.filter(({ id, queue }) => id !== null && !paused.has(queue as string)).map(toHead)
  return {
    heads: heads.filter(({ limits, held, returning }) => limits.key === null || held < limits.concurrency || returning > 0),
    now: Number(records[0]?.['now']),
    nextDue: await nextDue(session, backend),
    end: found.length < LIMITED_GROUPS_MAX ? null : found.map(({ name }) => name as string).at(-1) ?? null
  }
}

function toHead (record: Record<string, unknown>): LimitedHead {
  return {
    group: record['name'] as string,
    queue: record['queue'] as string,
    priority: Number(record['priority']),
    due: Number(record['due']),
    limits: decodeLimits(record['limits'] as string),
    held: Number(record['held']),
    returning: Number(record['coming'])
  }
}

/** When the next deferred one is due, by an index look-up a queue; null for none. */
async function nextDue (session: Session, backend: string): Promise<number | null> {
  const { dialect, tables } = session
  const rows = `FROM ${tables.results} r WHERE r.backend = ? AND r.parked = 'limit'`
  const [record] = await session.read('look for limited tasks', `
    WITH RECURSIVE q (name) AS (
      SELECT (SELECT min(r.queue) ${rows})
      UNION ALL
      SELECT (SELECT min(r.queue) ${rows} AND r.queue > q.name) FROM q WHERE q.name IS NOT NULL
    )
    SELECT min((SELECT min(r.due) ${rows} AND r.queue = q.name AND r.due > ${dialect.now})) AS due FROM q WHERE q.name IS NOT NULL`, [backend, backend, backend])
  const due = record?.['due']
  return due === null || due === undefined ? null : Number(due)
}

/** Put ready rows of queues that have limits behind them: rows that were stored before there was a limit. Answers how many. */
export async function limitQueues (session: Session, backend: string, queues: readonly string[]): Promise<number> {
  const { dialect, tables } = session
  const { rows } = await session.write('put tasks behind the limits of their queue', `
    UPDATE ${tables.results} SET claimable = false, parked = 'limit', waiting = queue || '${QUEUE_GROUP}', limit_group = queue || '${QUEUE_GROUP}', limits = '{}'
    WHERE id IN (SELECT r.id FROM ${tables.results} r WHERE r.backend = ? AND ${dialect.isIn('r.queue', 'text')} AND r.claimable LIMIT 1000)
      AND status = 'READY' AND limit_group IS NULL RETURNING id`, [backend, dialect.list(queues)])
  return rows.length
}
