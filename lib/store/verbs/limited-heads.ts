import type { LimitedHead, LimitedHeads } from '../store.js'
import type { Session } from '../session.js'
import { LIMITED_GROUPS_MAX } from '../../core/limits.js'
import { decodeLimits } from '../limits.js'

export interface HeadsRequest {
  readonly backend: string
  readonly tasks: readonly string[]
  readonly quarantined?: boolean
  /** Groups behind this one; null from the first. */
  readonly after: string | null
}

/**
 * The first due row of each priority of each group of limited rows: a skip scan, so that a group of a million rows costs
 * what a group of one does, be they waiting or deferred. Groups whose key is full are left out, but where another
 * group has the same key.
 */
export async function limitedHeads (session: Session, { backend, tasks, quarantined = false, after }: HeadsRequest): Promise<LimitedHeads> {
  const { dialect, tables } = session
  const ours = session.unseen('text')
  const rows = `${tables.results} r WHERE r.backend = ${ours} AND ${quarantined ? '' : 'NOT '}r.quarantined`
  const first = `FROM ${rows} AND r.waiting = levels.name AND r.priority = levels.priority AND r.due <= ${dialect.now}`
  const holders = `FROM ${tables.results} x WHERE x.backend = r.backend AND x.concurrency_key = r.concurrency_key AND x.holds`
  const records = await session.read('look for limited tasks', `
    WITH RECURSIVE groups (name, place) AS (
      SELECT (SELECT min(r.waiting) FROM ${rows} AND r.waiting > ${session.unseen('text')}), 1
      UNION ALL
      SELECT (SELECT min(r.waiting) FROM ${rows} AND r.waiting > groups.name), groups.place + 1
      FROM groups WHERE groups.name IS NOT NULL AND groups.place < ${LIMITED_GROUPS_MAX}
    ),
    levels (name, priority) AS (
      SELECT groups.name, (SELECT max(r.priority) FROM ${rows} AND r.waiting = groups.name) FROM groups WHERE groups.name IS NOT NULL
      UNION ALL
      SELECT levels.name, (SELECT max(r.priority) FROM ${rows} AND r.waiting = levels.name AND r.priority < levels.priority)
      FROM levels WHERE levels.priority IS NOT NULL
    ),
    heads AS (
      SELECT levels.name, levels.priority, (SELECT r.id ${first} AND ${dialect.isIn('r.task', 'text', session.sight)} ORDER BY r.due, r.seq LIMIT 1) AS id,
        (SELECT r.task ${first} ORDER BY r.due, r.seq LIMIT 1) AS task
      FROM levels WHERE levels.priority IS NOT NULL
    )
    SELECT n.at AS now, n.next, n.seen, n.last, h.name, h.priority AS level, h.task, r.id, r.queue, r.priority, r.due, r.seq, r.limits,
      (SELECT count(*) ${holders}) AS held, (SELECT min(x.concurrency_limit) ${holders}) AS least,
      (SELECT count(*) ${holders} AND x.status = 'READY' AND x.due <= n.at) AS coming,
      EXISTS (SELECT 1 FROM ${tables.queues} q WHERE q.backend = r.backend AND q.name = r.queue AND q.paused_at IS NOT NULL) AS paused
    FROM (SELECT ${dialect.now} AS at, ${nextDue(session)} AS next,
      (SELECT count(g.name) FROM groups g) AS seen, (SELECT max(g.name) FROM groups g) AS last) AS n LEFT JOIN heads h ON true
    ${dialect.writesInCtes ? `LEFT JOIN LATERAL (SELECT f.* FROM ${tables.results} f WHERE f.id = h.id LIMIT 1) AS r ON true` : `LEFT JOIN ${tables.results} r ON r.id = h.id`}`,
  [backend, after ?? '', backend, backend, backend, backend, dialect.list(tasks), backend, backend, backend, backend], { plan: 'once' })
  const heads = records.filter(({ id, paused }) => id !== null && paused !== true && paused !== 1).map(toHead).sort(inOrder)
  const groupsOfKey = countOf(heads.map(({ limits }) => limits.key))
  const { now, next, seen, last } = records[0] as Record<string, unknown>
  return {
    heads: heads.filter(({ full, limits }) => !full || (groupsOfKey.get(limits.key) ?? 0) > 1),
    now: Number(now),
    nextDue: next === null ? null : Number(next),
    end: Number(seen) < LIMITED_GROUPS_MAX ? null : last as string,
    strange: records.filter(({ task }) => typeof task === 'string' && !tasks.includes(task)).map(({ name, level }) => ({ group: name as string, priority: Number(level) }))
  }
}

function toHead (record: Record<string, unknown>): LimitedHead {
  const limits = decodeLimits(record['limits'] as string)
  const [held, returning] = [Number(record['held']), Number(record['coming'])]
  const least = record['least'] === null ? null : Number(record['least'])
  return {
    group: record['name'] as string,
    queue: record['queue'] as string,
    priority: Number(record['priority']),
    due: Number(record['due']),
    tie: Number(record['seq']),
    limits,
    held,
    returning,
    least,
    full: limits.key !== null && held >= Math.min(limits.concurrency, least ?? Infinity) && returning === 0
  }
}

function inOrder (a: LimitedHead, b: LimitedHead): number {
  return b.priority - a.priority || a.due - b.due || a.tie - b.tie
}

function countOf (keys: ReadonlyArray<string | null>): Map<string | null, number> {
  const counts = new Map<string | null, number>()
  for (const key of keys) if (key !== null) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}

/** When the next deferred one is due, by an index look-up a queue; null for none. */
function nextDue (session: Session): string {
  const { dialect, tables } = session
  const rows = `FROM ${tables.results} r WHERE r.backend = ${session.unseen('text')} AND r.parked = 'limit'`
  return `(
    WITH RECURSIVE q (name) AS (
      SELECT (SELECT min(r.queue) ${rows})
      UNION ALL
      SELECT (SELECT min(r.queue) ${rows} AND r.queue > q.name) FROM q WHERE q.name IS NOT NULL
    )
    SELECT min((SELECT min(r.due) ${rows} AND r.queue = q.name AND r.due > ${dialect.now})) FROM q WHERE q.name IS NOT NULL
  )`
}
