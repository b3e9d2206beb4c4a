import type { ClaimLimits, Lane, LimitedClaim, LimitedHead, Store } from '../store/store.js'
import type { Parking } from './parking.js'
import type { Session } from './session.js'

export interface LimitedSettings {
  readonly store: Store
  readonly backend: string
  readonly queues: ReadonlyMap<string, ClaimLimits>
  readonly tasks: () => readonly string[]
  readonly parking: Parking
  readonly takes: (queue: string) => boolean
}

/**
 * Claims rows that have limits: concurrency keys, rates, queues with limits. A worker that sees no such rows pays nothing for them.
 */
export class Limited {
  readonly #settings: LimitedSettings
  /** Behind the groups that were seen last, where there are more than one look takes. */
  #after: string | null = null

  constructor (settings: LimitedSettings) {
    this.#settings = settings
  }

  /** Queues of these that have limits: their rows are to be put behind them. */
  limitedQueues (queues: readonly string[]): string[] {
    return queues.filter((queue) => this.#settings.queues.has(queue))
  }

  /** Queues to leave alone in a claim that keeps no limits. */
  without (queues: readonly string[]): readonly string[] {
    const { queues: limited } = this.#settings
    return limited.size === 0 ? queues : [...queues, ...limited.keys()]
  }

  async look (session: Session, quarantined: boolean): Promise<LimitedLook> {
    const { store, backend, tasks, parking, takes } = this.#settings
    const names = tasks()
    const { heads, now, nextDue, end } = await parking.cleared(
      async () => await store.limitedHeads({ backend, tasks: names, quarantined, after: this.#after }),
      ({ strange = [] }) => quarantined ? {} : { groups: strange })
    const wrapped = this.#after !== null && end === null
    this.#after = end
    const taken = heads.filter(({ queue }) => takes(queue))
    const nextIn = nextDue === null ? Infinity : nextDue - now
    return new LimitedLook({ ...this.#settings, session, quarantined, names }, taken, end !== null || wrapped ? Math.min(nextIn, MORE_MS) : nextIn)
  }
}

// Until the next look, where one look did not see all the groups.
const MORE_MS = 10

export class LimitedLook {
  /** Milliseconds until there may be more. */
  nextIn: number
  /** The same, of what is due and waits for a rate or for another worker's claim; Infinity for none. */
  pressingIn = Infinity
  /** There are rows that may be claimed. */
  readonly open: boolean
  readonly quarantined: boolean
  readonly #settings: LimitedSettings & { session: Session, quarantined: boolean, names: readonly string[] }
  readonly #heads: readonly LimitedHead[]

  constructor (settings: LimitedSettings & { session: Session, quarantined: boolean, names: readonly string[] }, heads: readonly LimitedHead[], nextIn: number) {
    this.#settings = settings
    this.#heads = heads
    this.quarantined = settings.quarantined
    this.open = heads.some(({ full }) => !full)
    this.nextIn = nextIn
  }

  /** Claim under this number what comes first, of these lanes too. */
  async claim (claim: number, lanes: readonly Lane[], limit: number): Promise<LimitedClaim> {
    const { store, backend, queues, session, quarantined, names } = this.#settings
    const found = await store.claimLimited({ worker: session.id, claim, backend, heads: this.#heads, lanes, limit, tasks: names, quarantined, queues })
    const { nextIn } = found
    if (nextIn !== null) {
      this.pressingIn = Math.min(this.pressingIn, nextIn)
      this.nextIn = Math.min(this.nextIn, nextIn)
    }
    return found
  }
}
