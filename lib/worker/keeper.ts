import type { Ending, Store } from '../store/store.js'
import { CANCEL_POLL_MS } from '../core/limits.js'
import { Backoff } from './backoff.js'
import { beatInterval, type Heartbeat } from './heartbeat.js'
import { monotonic } from './pause.js'

/** What a keeper is told once. Structured-cloneable but for the heartbeat's class. */
export interface KeeperSettings {
  readonly worker: string
  readonly leaseMs: number
  readonly maxBlockMs: number
  /** When the lease was taken, by the monotonic clock: it runs out `leaseMs` later unless it is renewed. */
  readonly takenAt: number
}

/** What a keeper tells the worker. */
export type KeeperReport =
  /** The lease is held until `leaseMs` after `sentAt` (monotonic). `claims` are those that the store has. */
  | { readonly type: 'renewed', readonly sentAt: number, readonly claims: readonly number[] }
  /** Running rows of this worker that are to be cancelled. */
  | { readonly type: 'cancelled', readonly ids: readonly string[] }
  /** The lease had run out. */
  | { readonly type: 'lost' }
  | { readonly type: 'failed', readonly message: string }

/** An attempt that must not outlive `deadline` (monotonic), and how it ends where its loop is blocked by then. */
export interface Watched {
  readonly deadline: number
  readonly ending: Ending
}

/** What a keeper does where the main loop stands still; absent for one that runs on that loop itself. */
export interface Guard {
  readonly heartbeat: Heartbeat
  /** The loop has stood still for longer than allowed, or while these attempts passed their limits. */
  readonly onBlocked: (blockedMs: number, late: readonly Ending[]) => void
  /** Called at every tick, whatever the database does. `resting`: nothing is held, and the loop turns. */
  readonly onTick: (resting: boolean) => void
}

const REST_MS = 500 // between two looks, at most, while nothing is held: each costs an idle machine a wake-up

/**
 * Renews a worker's lease and hears of cancellations. Runs in a thread of its own, with a store of its own, so that a
 * task which blocks the main loop starves nothing; it watches that loop, and what to do about it is the guard's.
 */
export class Keeper {
  readonly watched = new Map<string, Watched>()
  /** False while the store is not open: then only the loop is watched. */
  connected = true
  readonly #store: Store
  readonly #settings: KeeperSettings
  readonly #report: (report: KeeperReport) => void
  readonly #held: () => number
  readonly #guard: Guard | null
  readonly #backoff: Backoff
  #timer: NodeJS.Timeout | null = null
  #calls = new Set<Promise<void>>()
  #renewing = false
  #renewAt: number
  #polling = false
  #pollAt = 0
  #heldUntil: number
  #lost = false
  #lastTick = 0
  #waitMs = 0
  #lastCount = -1
  #stoodMs = 0

  constructor (store: Store, settings: KeeperSettings, { report, held, guard }: { report: (report: KeeperReport) => void, held: () => number, guard: Guard | null }) {
    this.#store = store
    this.#settings = settings
    this.#report = report
    this.#held = held
    this.#guard = guard
    this.#heldUntil = settings.takenAt + settings.leaseMs
    this.#renewAt = settings.takenAt + settings.leaseMs / 3
    this.#backoff = new Backoff(Math.min(100, settings.leaseMs / 10), Math.min(1_000, settings.leaseMs / 5))
  }

  /** Milliseconds between two looks at the clock: one that comes late must not be what makes a loop stand still for too long. */
  get tickMs (): number {
    const { leaseMs, maxBlockMs } = this.#settings
    return Math.min(100, Math.max(5, Math.min(leaseMs / 30, beatInterval(maxBlockMs) / 2)))
  }

  start (): void {
    if (this.#timer !== null) return
    this.#lastTick = monotonic()
    this.#await(this.tickMs)
  }

  /** Resolves when no call is under way. */
  async stop (): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    await Promise.all(this.#calls)
  }

  #await (ms: number): void {
    this.#waitMs = ms
    this.#timer = setTimeout(() => {
      const now = monotonic()
      this.#tick(now)
      if (this.#timer !== null) this.#await(this.#resting ? this.#restMs(now) : this.tickMs)
    }, ms)
  }

  /** What stands still is looked at often, whether something is held or not. */
  get #resting (): boolean {
    return this.#held() === 0 && this.#stoodMs === 0
  }

  /** Until the next renewal at most, and with short leases as often as else: what is claimed meanwhile is watched from the next look on. */
  #restMs (now: number): number {
    const { leaseMs, maxBlockMs } = this.#settings
    const longest = Math.min(REST_MS, leaseMs / 30, 2 * beatInterval(maxBlockMs))
    return Math.max(this.tickMs, this.connected ? Math.min(longest, this.#renewAt - now) : longest)
  }

  #tick (now: number): void {
    if (this.#guard !== null) this.#watchLoop(now, this.#guard)
    this.#lastTick = now
    if (this.#lost || !this.connected) return
    if (!this.#renewing && now >= this.#renewAt) this.#call(this.#renew(now))
    if (!this.#polling && now >= this.#pollAt && this.#held() > 0) this.#call(this.#poll(now))
  }

  #call (call: Promise<void>): void {
    this.#calls.add(call)
    void call.finally(() => { this.#calls.delete(call) })
  }

  async #renew (sentAt: number): Promise<void> {
    const { worker, leaseMs } = this.#settings
    this.#renewing = true
    try {
      const renewal = await this.#store.renew(worker, { leaseMs, running: this.#held() })
      if (!renewal.held) {
        this.#lost = true
        this.#report({ type: 'lost' })
        return
      }
      this.#heldUntil = sentAt + leaseMs
      this.#renewAt = sentAt + leaseMs / 3
      this.#backoff.reset()
      this.#report({ type: 'renewed', sentAt, claims: renewal.claims })
      if (renewal.cancelled.length > 0) this.#report({ type: 'cancelled', ids: renewal.cancelled })
    } catch (error) {
      this.#renewAt = monotonic() + this.#backoff.next()
      this.#report({ type: 'failed', message: (error as Error).message })
    } finally {
      this.#renewing = false
    }
  }

  async #poll (now: number): Promise<void> {
    this.#polling = true
    this.#pollAt = now + CANCEL_POLL_MS
    try {
      const ids = await this.#store.cancelled(this.#settings.worker)
      if (ids.length > 0) this.#report({ type: 'cancelled', ids })
    } catch {
      // The renewal meets the same database, and reports it.
    } finally {
      this.#polling = false
    }
  }

  #watchLoop (now: number, guard: Guard): void {
    guard.onTick(this.#resting)
    const { maxBlockMs, leaseMs } = this.#settings
    const { count } = guard.heartbeat
    if (count !== this.#lastCount) {
      this.#lastCount = count
      this.#stoodMs = 0
      return
    }
    // A look that comes late is one of a process that was paused, or of a machine too busy for both: of that a tick counts.
    this.#stoodMs += Math.min(now - this.#lastTick, this.#waitMs + this.tickMs)
    const beatMs = beatInterval(maxBlockMs)
    if (this.#stoodMs < 3 * beatMs) return
    const late = [...this.watched.values()].filter(({ deadline }) => deadline <= now).map(({ ending }) => ending)
    // A loop that stands still cannot abort its attempts when the database is out of reach, either.
    const leaseEnds = now >= this.#heldUntil - leaseMs / 10
    // What blocks it may have begun as late as just before the next beat.
    if (late.length > 0 || leaseEnds || this.#stoodMs >= maxBlockMs + beatMs) guard.onBlocked(this.#stoodMs, late)
  }
}
