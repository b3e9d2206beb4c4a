import { hostname } from 'node:os'
import { randomBytes } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Store } from '../store/store.js'
import { Ledger } from './ledger.js'
import { Lease, type LeaseSettings } from './lease.js'
import type { Outage } from './outage.js'
import { monotonic } from './pause.js'
import { Reporter } from './reporter.js'

export interface SessionSettings extends Pick<LeaseSettings, 'store' | 'origin' | 'leaseMs' | 'maxBlockMs' | 'pipe' | 'log'> {
  readonly label: string | null
  readonly backend: string
  readonly tasks: () => readonly string[]
  /** It can give a task a process of its own. */
  readonly quarantine: boolean
  readonly outage: Outage
  readonly onLost: (session: Session, marginMs: number) => void
  readonly onCancelled: (session: Session, ids: readonly string[]) => void
  readonly onWritten: () => void
}

/**
 * One registration: a worker id that is never used again, with its lease, its claims and what is to be written for
 * them. A worker that lost its lease opens another; what still runs under the old one is written under the old one, and
 * refused where somebody else has taken it meanwhile.
 */
export class Session {
  readonly id: string
  readonly ledger = new Ledger()
  readonly lease: Lease
  readonly reporter: Reporter
  readonly #store: Store
  readonly #log: FastifyBaseLogger
  #lost = false
  #held = 0

  private constructor (id: string, takenAt: number, settings: SessionSettings) {
    const { store, log, outage, onLost, onCancelled, onWritten } = settings
    this.id = id
    this.#store = store
    this.#log = log
    this.reporter = new Reporter({ store, worker: id, ledger: this.ledger, log, outage, onIdle: onWritten })
    this.lease = new Lease({
      ...settings,
      worker: id,
      takenAt,
      onClaims: (claims) => { this.#reconcile(claims) },
      onCancelled: (ids) => { onCancelled(this, ids) },
      onLost: (marginMs) => {
        this.#lost = true
        onLost(this, marginMs)
      }
    })
  }

  /** Register under a new id. @throws FST_TASKS_STORE_UNAVAILABLE */
  static async open (settings: SessionSettings): Promise<Session> {
    const { store, backend, leaseMs, quarantine, tasks, label } = settings
    const id = `${label ?? defaultLabel()}-${randomBytes(9).toString('hex')}`
    const takenAt = monotonic()
    await store.register({ id, backend, leaseMs, tasks: tasks(), quarantine })
    const session = new Session(id, takenAt, settings)
    session.lease.start()
    return session
  }

  get lost (): boolean {
    return this.#lost
  }

  /** So many rows more, or fewer, are claimed under this id. */
  hold (change: number): void {
    this.#held += change
    this.lease.hold(this.#held)
  }

  /** Hand back what the store may have of claims whose replies were lost. */
  async returnUnsure (): Promise<void> {
    const { unsure } = this.ledger
    if (unsure.length === 0) return
    await this.reporter.releaseClaims(unsure)
    this.ledger.returned(unsure)
  }

  /** Claims that the store has and nobody here knows: their replies were lost. */
  #reconcile (claims: readonly number[]): void {
    const strangers = this.ledger.strangers(claims)
    if (strangers.length === 0 || this.#lost) return
    // Another renewal finds them again where this does not get through.
    this.reporter.releaseClaims(strangers).catch((error: unknown) => { this.#log.warn({ err: error, worker: this.id }, 'a claim whose answer was lost could not be handed back yet') })
  }

  /** Give the lease back. Only where nothing is held any more: what is left would be run by others. */
  async deregister (): Promise<void> {
    await this.#store.deregister(this.id)
  }
}

/** Where the worker runs: 40 characters at most, as a label of the user's own. */
function defaultLabel (): string {
  const host = hostname().replace(/[^\w.:-]/g, '-').slice(0, 28)
  return `${host === '' ? 'worker' : host}.${process.pid}`
}
