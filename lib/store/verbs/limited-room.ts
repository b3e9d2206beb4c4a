import type { ClaimLimits, LimitedClaimRequest, LimitedHead, RowLimits } from '../store.js'
import type { Run, Send, Session } from '../session.js'
import { freeOf, parseRateLog, withStarts, type RateLog, type RateRule } from '../../core/rate.js'

/** A row that may be claimed where its limits have room. */
export interface Candidate {
  readonly id: string
  readonly queue: string
  /** A retry that kept its concurrency key. */
  readonly holds: boolean
  readonly limits: RowLimits
}

type Limited = Pick<LimitedHead, 'queue' | 'limits'>
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
  readonly #held: Map<string, number>
  readonly #running: Map<string, number>
  readonly #logs: Map<string, RateLog>
  readonly #taken = new Map<string, number>()

  private constructor (session: Session, request: LimitedClaimRequest, found: { now: number, held: Map<string, number>, running: Map<string, number>, logs: Map<string, RateLog> }) {
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
      ? heads.flatMap(({ limits: { key: name }, held }) => name === null ? [] : [{ name, held }])
      : await ask(`SELECT r.concurrency_key AS name, count(*) AS held FROM ${tables.results} r WHERE r.backend = ? AND ${dialect.isIn('r.concurrency_key', 'text')} AND r.holds GROUP BY r.concurrency_key`, [backend, dialect.list(keys)])
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
      held: countsOf(byKey),
      running: countsOf(byQueue),
      logs: new Map(logs.filter(({ name }) => name !== null).map(({ name, starts }) => [name as string, parseRateLog(starts as string)]))
    })
  }

  /** True where a row of the group may be claimed: under a full key only the retry that holds it. */
  hasRoom (head: LimitedHead): boolean {
    return this.#roomBeside(head) > 0 && (this.#roomOfKey(head.limits) > 0 || head.returning > 0)
  }

  /** Rows of the group that may be claimed, without those that hold its key already. */
  roomOf (head: LimitedHead): number {
    return Math.max(0, Math.min(this.#roomBeside(head), this.#roomOfKey(head.limits)))
  }

  /** Take what fits, in the order given. */
  choose (candidates: readonly Candidate[], limit: number): Candidate[] {
    const chosen: Candidate[] = []
    for (const candidate of candidates) {
      if (chosen.length >= limit) break
      if (this.#roomBeside(candidate) < 1 || (!candidate.holds && this.#roomOfKey(candidate.limits) < 1)) continue
      chosen.push(candidate)
      const names = namesOf(candidate, this.#queues)
      for (const name of names) if (!candidate.holds || !name.startsWith('key:')) this.#taken.set(name, (this.#taken.get(name) ?? 0) + 1)
    }
    for (const candidate of chosen) this.#roomBeside(candidate) // says when the next may start, where that was the last
    return chosen
  }

  /** Remember the starts of what was claimed. */
  async write (run: Run, claimed: readonly Candidate[]): Promise<void> {
    const added = new Map<string, { log: RateLog, count: number, every: number }>()
    const add = (name: string, { every }: RateRule): void => {
      const entry = added.get(name) ?? { log: this.#logs.get(name) ?? parseRateLog(null), count: 0, every: 0 }
      added.set(name, { ...entry, count: entry.count + 1, every: Math.max(entry.every, every) })
    }
    for (const { queue, limits } of claimed) {
      if (limits.rate !== null) add(rateName(limits.rate.name), limits.rate)
      const rule = this.#queues.get(queue)?.rate ?? null
      if (rule !== null) add(queueName(queue), rule)
    }
    if (added.size === 0) return
    const { dialect, tables } = this.#session
    const source = dialect.rows([['name', 'text'], ['starts', 'text'], ['until', 'bigint']])
    const rows = [...added].map(([name, { log, count, every }]) => {
      const next = withStarts(log, this.#now, count, every)
      return [name, JSON.stringify(next), this.#now + Math.ceil(next.span)]
    })
    await run(`
      INSERT INTO ${tables.limits} (backend, name, starts, until) SELECT ?, i.name, i.starts, i.until FROM ${source.sql} AS i WHERE true
      ON CONFLICT (backend, name) DO UPDATE SET starts = excluded.starts, until = excluded.until`, [this.#backend, ...source.bind(rows)])
  }

  #roomOfKey ({ key, concurrency }: RowLimits): number {
    if (key === null) return Infinity
    return concurrency - (this.#held.get(key) ?? 0) - (this.#taken.get(`key:${key}`) ?? 0)
  }

  /** Room of every limit but the key's. */
  #roomBeside ({ queue, limits: { rate } }: Limited): number {
    const { concurrency, rate: queueRate } = this.#queues.get(queue) ?? { concurrency: null, rate: null }
    const name = queueName(queue)
    const taken = this.#taken.get(name) ?? 0
    return Math.min(
      concurrency === null ? Infinity : concurrency - (this.#running.get(queue) ?? 0) - taken,
      queueRate === null ? Infinity : this.#roomOfRate(name, queueRate),
      rate === null ? Infinity : this.#roomOfRate(rateName(rate.name), rate)
    )
  }

  #roomOfRate (name: string, rule: RateRule): number {
    const log = this.#logs.get(name) ?? parseRateLog(null)
    const taken = this.#taken.get(name) ?? 0
    const { free, nextIn } = freeOf(taken === 0 ? log : withStarts(log, this.#now, taken, rule.every), this.#now, rule)
    if (free === 0) this.nextIn = Math.min(this.nextIn ?? Infinity, nextIn)
    return free
  }
}

function countsOf (records: ReadonlyArray<Record<string, unknown>>): Map<string, number> {
  return new Map(records.map(({ name, held }) => [name as string, Number(held)]))
}
