import type { ClaimLimits, LimitedClaimRequest, LimitedHead, RowLimits } from '../store.js'
import type { Run, Send, Session } from '../session.js'
import { freeOf, parseRateLog, withStarts, type RateLog, type RateRule } from '../../core/rate.js'
import { compare } from './limited-candidates.js'
import type { Started } from './limited-late.js'
import { writeRates } from './limited-rates.js'

/** A row that may be claimed where its limits have room. */
export interface Candidate {
  readonly id: string
  readonly queue: string
  readonly priority: number
  readonly due: number
  readonly tie: number
  /** A retry that kept its concurrency key. */
  readonly holds: boolean
  /** Null for a row of a lane. */
  readonly limits: RowLimits | null
}

type Limited = Pick<LimitedHead, 'queue' | 'limits'>
type Place = Pick<LimitedHead, 'priority' | 'due' | 'tie'>

/** What is under way of a concurrency key: rows that hold it, and the smallest limit that one of them has. */
interface Held { readonly held: number, readonly least: number }
const NONE: Held = Object.freeze({ held: 0, least: Infinity })
type QueueLimits = ReadonlyMap<string, ClaimLimits>

const rateName = (name: string): string => `rate:${name}`
const queueName = (queue: string): string => `queue:${queue}`

/** What has to be locked before the limits of a row may be counted. */
export function namesOf ({ queue, limits: { key, rate } }: Limited, queues: QueueLimits): string[] {
  return [
    ...(key === null ? [] : [`key:${key}`]),
    ...(rate === null ? [] : [rateName(rate.name)]),
    ...(queues.has(queue) ? [queueName(queue)] : [])
  ]
}

/** How much room the limits of some groups have, at one moment of the database's clock. */
export class Limits {
  /** Milliseconds until a rate that was found spent lets one more through; null for none. */
  nextIn: number | null = null
  readonly #session: Session
  readonly #backend: string
  readonly #queues: QueueLimits
  readonly #now: number
  readonly #held: Map<string, Held>
  readonly #running: Map<string, number>
  readonly #logs: Map<string, RateLog>
  /** Of what was chosen, by the names of limits. */
  readonly #taken = new Map<string, Held>()

  private constructor (session: Session, request: LimitedClaimRequest, found: { now: number, held: Map<string, Held>, running: Map<string, number>, logs: Map<string, RateLog> }) {
    this.#session = session
    this.#backend = request.backend
    this.#queues = request.queues
    this.#now = found.now
    this.#held = found.held
    this.#running = found.running
    this.#logs = found.logs
  }

  /** Count; inside of a transaction where `run` is given. */
  static async read (session: Session, run: Run | null, request: LimitedClaimRequest, heads: readonly LimitedHead[]): Promise<Limits> {
    const { dialect, tables } = session
    const { backend, queues } = request
    const ask: Send = run ?? (async (sql, bindings) => await session.read('count what limits allow', sql, bindings))
    const distinct = (values: ReadonlyArray<string | null>): string[] => [...new Set(values.filter((value) => value !== null))]
    const keys = distinct(heads.map(({ limits }) => limits.key))
    const counted = distinct(heads.map(({ queue }) => (queues.get(queue)?.concurrency ?? null) === null ? null : queue))
    const rates = distinct(heads.flatMap(({ queue, limits }) => [limits.rate === null ? null : rateName(limits.rate.name), (queues.get(queue)?.rate ?? null) === null ? null : queueName(queue)]))
    // Before the lock what the look has counted will do.
    const byKey = keys.length === 0 || run === null
      ? heads.flatMap(({ limits: { key: name }, held, least }) => name === null ? [] : [{ name, held, least }])
      : await ask(`SELECT r.concurrency_key AS name, count(*) AS held, min(r.concurrency_limit) AS least FROM ${tables.results} r WHERE r.backend = ? AND ${dialect.isIn('r.concurrency_key', 'text')} AND r.holds GROUP BY r.concurrency_key`, [backend, dialect.list(keys)])
    const members = dialect.elements('c.ids')
    const byQueue = counted.length === 0
      ? []
      : await ask(`
        SELECT r.queue AS name, count(*) AS held FROM ${tables.claims} c CROSS JOIN ${members.from}
        JOIN ${tables.results} r ON r.id = ${members.id} AND r.status = 'RUNNING' AND r.worker = c.worker AND r.claim = c.claim
        WHERE c.backend = ? AND ${dialect.isIn('r.queue', 'text')} GROUP BY r.queue`, [backend, dialect.list(counted)])
    const logs = rates.length === 0
      ? []
      : await ask(`
      SELECT n.at AS now, l.name, l.starts FROM (SELECT ${dialect.now} AS at) AS n
      LEFT JOIN ${tables.limits} l ON l.backend = ? AND ${dialect.isIn('l.name', 'text')}`, [backend, dialect.list(rates)])
    return new Limits(session, request, {
      now: Number(logs[0]?.['now'] ?? 0),
      held: new Map(byKey.map(({ name, held, least }) => [name as string, { held: Number(held), least: least === null ? Infinity : Number(least) }])),
      running: countsOf(byQueue),
      logs: new Map(logs.filter(({ name }) => name !== null).map(({ name, starts }) => [name as string, parseRateLog(starts as string)]))
    })
  }

  /** Those of the heads, given in their order, of which a row may be claimed: under a full key only the retry that holds it. */
  open (heads: readonly LimitedHead[]): LimitedHead[] {
    const blocked = new Blocked()
    return heads.filter((head) => {
      if (blocked.has(head)) return false
      const room = this.#roomBeside(head) > 0 && (this.#roomOfKey(head.limits) > 0 || head.returning > 0)
      if (!room) blocked.add(head, this.#roomOfKey(head.limits))
      return room
    })
  }

  /** Rows of the group that may be claimed, without those that hold its key already. */
  roomOf (head: LimitedHead): number {
    return Math.max(0, Math.min(this.#roomBeside(head), this.#roomOfKey(head.limits)))
  }

  /** Take what fits, in the order given. `closed`: heads that have to wait, and with them what they block. */
  choose (candidates: readonly Candidate[], closed: readonly LimitedHead[], limit: number): Candidate[] {
    const chosen: Candidate[] = []
    const blocked = new Blocked()
    for (const head of closed) blocked.add(head, this.#roomOfKey(head.limits))
    for (const candidate of candidates) {
      if (chosen.length >= limit) break
      const { holds, limits, queue } = candidate
      if (limits !== null) {
        const limited = { ...candidate, limits }
        if (blocked.has(limited)) continue
        const room = this.#roomOfKey(limits)
        if (this.#roomBeside(limited) < 1 || (!holds && room < 1)) { blocked.add(limited, room); continue }
        for (const name of namesOf({ queue, limits }, this.#queues)) if (!holds || !name.startsWith('key:')) this.#count(name, limits.concurrency)
      }
      chosen.push(candidate)
    }
    // Says when the next may start, where that was the last.
    for (const { queue, limits } of chosen) if (limits !== null) this.#roomBeside({ queue, limits })
    return chosen
  }

  /** What the rates have to count of what was claimed. */
  startsOf (claimed: readonly Candidate[]): Started['counts'] {
    const counts = new Map<string, { count: number, every: number }>()
    const add = (name: string, rule: RateRule | null): void => {
      if (rule === null) return
      const { count, every } = counts.get(name) ?? { count: 0, every: 0 }
      counts.set(name, { count: count + 1, every: Math.max(every, rule.every) })
    }
    for (const { queue, limits } of claimed) {
      if (limits === null) continue
      if (limits.rate !== null) add(rateName(limits.rate.name), limits.rate)
      add(queueName(queue), this.#queues.get(queue)?.rate ?? null)
    }
    return counts
  }

  /** Remember these starts, as of the moment that their rows say. */
  async write (run: Run, counts: Started['counts'], at: number): Promise<void> {
    if (counts.size === 0) return
    const logs = [...counts].map(([name, { count, every }]) => [name, withStarts(this.#logs.get(name) ?? parseRateLog(null), at, count, every)] as const)
    await writeRates(this.#session, run, this.#backend, new Map(logs), at)
  }

  /** Of those that run and those to come, the smallest limit holds: no row has more company than it asked for. */
  #roomOfKey ({ key, concurrency }: RowLimits): number {
    if (key === null) return Infinity
    const held = this.#held.get(key) ?? NONE
    const taken = this.#taken.get(`key:${key}`) ?? NONE
    return Math.min(concurrency, held.least, taken.least) - held.held - taken.held
  }

  #count (name: string, least: number): void {
    const taken = this.#taken.get(name) ?? NONE
    this.#taken.set(name, { held: taken.held + 1, least: Math.min(taken.least, least) })
  }

  /** Room of every limit but the key's. */
  #roomBeside ({ queue, limits: { rate } }: Limited): number {
    const { concurrency, rate: queueRate } = this.#queues.get(queue) ?? { concurrency: null, rate: null }
    const name = queueName(queue)
    const taken = this.#taken.get(name)?.held ?? 0
    return Math.min(
      concurrency === null ? Infinity : concurrency - (this.#running.get(queue) ?? 0) - taken,
      queueRate === null ? Infinity : this.#roomOfRate(name, queueRate),
      rate === null ? Infinity : this.#roomOfRate(rateName(rate.name), rate)
    )
  }

  #roomOfRate (name: string, rule: RateRule): number {
    const log = this.#logs.get(name) ?? parseRateLog(null)
    const taken = this.#taken.get(name)?.held ?? 0
    const { free, nextIn } = freeOf(taken === 0 ? log : withStarts(log, this.#now, taken, rule.every), this.#now, rule)
    if (free === 0) this.nextIn = Math.min(this.nextIn ?? Infinity, nextIn)
    return free
  }
}

/** The places from which on a key's rows have to wait for one that cannot start yet. */
class Blocked {
  readonly #from = new Map<string, Place>()

  /**
   * A row that comes first and waits keeps the others of its key waiting, where it asks for order (a key of 1) or would
   * never get its turn beside them (their limit is larger). Else they pass: a rate holds back no other task of a tenant.
   */
  add (place: Limited & Place, roomOfKey: number): void {
    const { key, concurrency } = place.limits
    if (key === null || (concurrency > 1 && roomOfKey > 0)) return
    const known = this.#from.get(key)
    if (known === undefined || compare(place, known) < 0) this.#from.set(key, place)
  }

  has (place: Limited & Place): boolean {
    const from = place.limits.key === null ? undefined : this.#from.get(place.limits.key)
    return from !== undefined && compare(from, place) < 0
  }
}

function countsOf (records: ReadonlyArray<Record<string, unknown>>): Map<string, number> {
  return new Map(records.map(({ name, held }) => [name as string, Number(held)]))
}
