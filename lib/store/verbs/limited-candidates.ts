import type { LimitedClaimRequest, LimitedHead } from '../store.js'
import type { Run, Session, Statement } from '../session.js'
import { decodeLimits } from '../limits.js'
import { notPaused, quarantine } from './claim-terms.js'
import { LANES_MAX } from './claim-in-turn.js'
import { START } from './lanes.js'
import { padded } from './padded.js'
import type { Candidate, Limits } from './limited-room.js'

export const GROUPS_MAX = 100 // of one claim: more would make its transaction long

export interface CandidatesRequest {
  readonly heads: readonly LimitedHead[]
  readonly limits: Limits
  /** Rows before this place of the order only; null for all. */
  readonly until: LimitedHead | null
}

/**
 * The first rows of each group and lane, in their order; of a key that is full the retries that hold it. They are locked:
 * what is chosen of them cannot change its limits before it is taken.
 */
export async function candidates (session: Session, run: Run, request: LimitedClaimRequest, { heads, limits, until }: CandidatesRequest): Promise<Candidate[]> {
  const parts = partsOf(request, heads, limits)
  if (parts.length === 0) return []
  const records = await run(...session.dialect.writesInCtes ? lateral(session, request, parts) : united(session, request, parts), { plan: 'once' })
  const found = records.map(toCandidate).sort((a, b) => compare(a, b))
  return until === null ? found : found.filter((candidate) => compare(candidate, until) < 0)
}

/** Which rows `r` are meant by a part `w`. */
const KINDS = {
  waiting: 'r.waiting = w.name',
  // Where the key is full, it may be held by rows that wait for their retry: these come by the index of the holders.
  holding: "r.holds AND r.concurrency_key = w.key AND r.status = 'READY' AND r.limit_group = w.name",
  lane: 'r.queue = w.queue AND r.claimable AND (r.due, r.seq) > (w.due, w.seq)'
} as const

const PART = [['name', 'text'], ['key', 'text'], ['queue', 'text'], ['priority', 'int'], ['due', 'bigint'], ['seq', 'bigint'], ['room', 'int']] as const

type Kind = keyof typeof KINDS
type Part = { readonly kind: Kind } & Readonly<Record<typeof PART[number][0], string | number | null>>

function partsOf ({ limit, lanes = [] }: LimitedClaimRequest, heads: readonly LimitedHead[], limits: Limits): Part[] {
  const groups = heads.flatMap((head): Part[] => {
    const { group: name, queue, priority, limits: { key } } = head
    const room = Math.min(limit, limits.roomOf(head))
    if (room < 1 && key === null) return []
    return [{ kind: room < 1 ? 'holding' : 'waiting', name, key, queue, priority, due: null, seq: null, room: Math.max(1, room) }]
  })
  return [
    ...groups,
    ...lanes.map(({ queue, priority, after }): Part => ({ kind: 'lane', name: null, key: null, queue, priority, due: after?.due ?? START, seq: after?.tie ?? START, room: limit }))
  ]
}

/** Of each kind that there is. */
function byKind (parts: readonly Part[]): Array<[kind: Kind, own: Part[]]> {
  const kinds = Object.keys(KINDS) as Kind[]
  return kinds.map((kind): [Kind, Part[]] => [kind, parts.filter((part) => part.kind === kind)]).filter(([, own]) => own.length > 0)
}

/** One plan whatever the number of parts: to plan each of a hundred by itself took twenty times as long as to run them. */
function lateral (session: Session, request: LimitedClaimRequest, parts: readonly Part[]): Statement {
  const { dialect } = session
  const { backend, tasks } = request
  const source = dialect.rows(PART, session.sight)
  const ours = session.unseen('text')
  const rows = rowsOf(session, request, { backend: ours, tasks: '?' })
  const bindings: unknown[] = []
  const ctes = byKind(parts).map(([kind, own]): Cte => {
    bindings.push(...source.bind(own.map((part) => PART.map(([column]) => part[column]))), backend, dialect.list(tasks), backend)
    return [kind, `
      SELECT c.* FROM ${source.sql} AS w CROSS JOIN LATERAL (${rows(kind)} ORDER BY r.due, r.seq LIMIT w.room ${dialect.skipLocked}) AS c
      WHERE ${notPaused(session.tables, ours, 'w.queue')}`]
  })
  return [together(ctes), bindings]
}

/**
 * Each part as a sub-query of its own, which stops at its limit. A bare `LIMIT ?` would be looked at when the statement is
 * compiled, and have it compiled anew each time it is bound.
 */
function united (session: Session, request: LimitedClaimRequest, parts: readonly Part[]): Statement {
  const { dialect } = session
  const rows = rowsOf(session, request, { backend: 'w.backend', tasks: 'w.tasks' })
  const shared = { backend: request.backend, tasks: dialect.list(request.tasks) }
  const bindings: unknown[] = []
  let room = PARTS_MAX - parts.length
  const all = byKind(parts).flatMap(([, own]) => {
    const filled = padded(own, { least: PARTS_LEAST, max: own.length + room }, (last) => ({ ...last, room: 0 }))
    room -= filled.length - own.length
    return filled
  })
  const ctes = all.map((part, place): Cte => {
    const values: Readonly<Record<string, unknown>> = { ...part, ...shared }
    const sql = `${rows(part.kind)} AND ${notPaused(session.tables, 'w.backend', 'w.queue')} ORDER BY r.due, r.seq LIMIT +w.room`
    // Names of tables have no dots, and values are bound: what looks like a column of `w` is one.
    return [`g${place}`, sql.replace(/\bw\.(\w+)/g, (_, column: string) => {
      bindings.push(values[column])
      return '?'
    })]
  })
  return [together(ctes), bindings]
}

const PARTS_LEAST = 8 // of a kind, so that there are few sizes
const PARTS_MAX = LANES_MAX + GROUPS_MAX // SQLite takes 500 terms in a compound SELECT

type Cte = readonly [name: string, sql: string]

// FOR UPDATE cannot stand in a UNION, but before it.
function together (ctes: readonly Cte[]): string {
  return `WITH ${ctes.map(([name, sql]) => `${name} AS (${sql})`).join(', ')} ${ctes.map(([name]) => `SELECT * FROM ${name}`).join(' UNION ALL ')}`
}

/** Its `?` are the two that are given. */
function rowsOf ({ dialect, tables, sight }: Session, request: LimitedClaimRequest, { backend, tasks }: { readonly backend: string, readonly tasks: string }): (kind: Kind) => string {
  return (kind) => `
    SELECT r.id, r.queue, r.priority, r.due, r.seq, r.limits, r.holds FROM ${tables.results} r
    WHERE r.backend = ${backend} AND ${KINDS[kind]} AND r.priority = w.priority AND r.due <= ${dialect.now} AND ${quarantine(request)}
      AND ${dialect.isIn('r.task', 'text', sight).replace('?', tasks)}`
}

function toCandidate (record: Record<string, unknown>): Candidate {
  return {
    id: record['id'] as string,
    queue: record['queue'] as string,
    priority: Number(record['priority']),
    due: Number(record['due']),
    tie: Number(record['seq']),
    holds: Boolean(record['holds']),
    limits: record['limits'] === null ? null : decodeLimits(record['limits'] as string)
  }
}

interface Place { readonly priority: number, readonly due: number, readonly tie: number }

/** The order in which rows are claimed. */
export function compare (a: Place, b: Place): number {
  return b.priority - a.priority || a.due - b.due || a.tie - b.tie
}
