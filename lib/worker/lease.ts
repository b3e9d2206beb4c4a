import { Worker as Thread } from 'node:worker_threads'
import type { FastifyBaseLogger } from 'fastify'
import type { Store } from '../store/store.js'
import { beatInterval, Heartbeat } from './heartbeat.js'
import { Keeper, type KeeperReport, type KeeperSettings, type Watched } from './keeper.js'
import type { KeeperOrder, KeeperThreadData } from './keeper-thread.js'
import { monotonic, settledWithin, TIMER_MAX_MS } from './pause.js'
import { ThreadEnd, waitAtExit } from './thread-end.js'
import type { ThreadStore } from './thread-store.js'

export interface LeaseSettings {
  readonly store: Store
  /** For the keeper's thread; null: the lease is renewed on the main loop. */
  readonly origin: ThreadStore | null
  readonly worker: string
  readonly leaseMs: number
  readonly maxBlockMs: number
  /** Monotonic: when the registration was sent. */
  readonly takenAt: number
  /** The supervisor's pipe; null: nobody replaces this process, so it is not ended. */
  readonly pipe: number | null
  readonly log: FastifyBaseLogger
  readonly onClaims: (claims: readonly number[]) => void
  readonly onCancelled: (ids: readonly string[]) => void
  /** Attempts must end now: the lease runs out in `marginMs`, or has run out. Called once. */
  readonly onLost: (marginMs: number) => void
}

const THREAD_STOP_MS = 2_000 // what a keeper gets to close its connections to PostgreSQL: one that is half open never closes
const THREAD_LEAVE_MS = 15_000 // after which one with a SQLite file is left to end by itself: its disk does not answer
const KEEPER_YOUNG_MB = 2 // of its heap; V8 would let it grow to 48

/**
 * A worker's lease as its main loop sees it: held until a moment by the monotonic clock, counted from when the last
 * renewal that succeeded was sent. It gives up early enough for attempts to end before the lease can have run out.
 */
export class Lease {
  readonly #settings: LeaseSettings
  readonly #heartbeat = new Heartbeat()
  #thread: Thread | null = null
  #keeper: Keeper | null = null
  #beat: NodeJS.Timeout | null = null
  #deadline: NodeJS.Timeout | null = null
  #heldUntil: number
  #over = false
  #failing = false

  constructor (settings: LeaseSettings) {
    this.#settings = settings
    this.#heldUntil = settings.takenAt + settings.leaseMs
  }

  /** Monotonic. */
  get heldUntil (): number {
    return this.#heldUntil
  }

  /** True where a blocked loop is ended from outside, so that it must be known how its attempts end. */
  get guarded (): boolean {
    return this.#settings.pipe !== null && this.#thread !== null
  }

  start (): void {
    const { origin, maxBlockMs } = this.#settings
    // Until the thread is up the lease is renewed here: on a busy machine that may take longer than a short lease lasts.
    this.#keepHere()
    if (origin !== null) this.#keepInThread(origin)
    this.#beat = setInterval(() => { this.#heartbeat.beat() }, beatInterval(maxBlockMs))
    this.#await()
  }

  /** Rows claimed, running and buffered: cancellations are asked for while there are any. */
  hold (rows: number): void {
    this.#heartbeat.held = rows
  }

  /** An attempt with a limit has begun: where the loop is blocked beyond it, this is how it ends. */
  watch (id: string, watched: Watched): void {
    if (this.guarded) this.#thread?.postMessage({ type: 'watch', id, watched } satisfies KeeperOrder)
  }

  forget (id: string): void {
    this.#thread?.postMessage({ type: 'forget', id } satisfies KeeperOrder)
  }

  async stop (): Promise<void> {
    this.#over = true
    if (this.#deadline !== null) clearTimeout(this.#deadline)
    // The loop is seen to beat until the thread has ended: it watches it for as long as it lives.
    await Promise.all([this.#stopThread(), this.#stopHere()])
    if (this.#beat !== null) clearInterval(this.#beat)
  }

  async #stopThread (): Promise<void> {
    const thread = this.#thread
    if (thread === null) return
    const gone = new Promise((resolve) => { thread.once('exit', resolve) })
    thread.postMessage({ type: 'stop' } satisfies KeeperOrder)
    this.#thread = null
    if (this.#settings.origin?.sqlite !== true) {
      if (!await settledWithin(gone, THREAD_STOP_MS)) await thread.terminate()
    } else if (!await settledWithin(gone, THREAD_LEAVE_MS)) thread.unref() // see ThreadEnd
  }

  #keeperSettings (): KeeperSettings {
    const { worker, leaseMs, maxBlockMs } = this.#settings
    return { worker, leaseMs, maxBlockMs, takenAt: this.#heldUntil - leaseMs }
  }

  async #stopHere (): Promise<void> {
    const keeper = this.#keeper
    this.#keeper = null
    await keeper?.stop()
  }

  #keepHere (): void {
    this.#keeper ??= new Keeper(this.#settings.store, this.#keeperSettings(), {
      report: (report) => { this.#hear(report) },
      held: () => this.#heartbeat.held,
      guard: null
    })
    this.#keeper.start()
  }

  #keepInThread (store: ThreadStore): void {
    const end = new ThreadEnd()
    const data: KeeperThreadData = { store, end: end.memory, settings: this.#keeperSettings(), memory: this.#heartbeat.memory, pipe: this.#settings.pipe }
    // No flags of the app: the thread runs no code of the app. A statement every few seconds needs no large young generation.
    const thread = new Thread(new URL('./keeper-thread.js', import.meta.url), { workerData: data, execArgv: [], resourceLimits: { maxYoungGenerationSizeMb: KEEPER_YOUNG_MB }, name: 'fastify-tasks keeper' })
    if (store.sqlite) waitAtExit(thread, end, () => { thread.postMessage({ type: 'stop' } satisfies KeeperOrder) })
    thread.on('message', (report: KeeperReport) => {
      if (report.type === 'renewed') void this.#stopHere()
      this.#hear(report)
    })
    thread.once('error', (error) => { this.#settings.log.error({ err: error }, "the keeper's thread failed; starting another") })
    thread.once('exit', () => {
      if (this.#over || this.#thread !== thread) return
      this.#thread = null
      this.#keepHere()
      setTimeout(() => { if (!this.#over && this.#thread === null) this.#keepInThread(store) }, this.#settings.leaseMs / 10).unref()
    })
    this.#thread = thread
  }

  #hear (report: KeeperReport): void {
    if (this.#over) return
    const { leaseMs, onClaims, onCancelled, log, worker } = this.#settings
    switch (report.type) {
      case 'renewed':
        this.#heldUntil = Math.max(this.#heldUntil, report.sentAt + leaseMs) // two keep it until the thread is up
        this.#failing = false
        this.#await()
        if (report.claims.length > 0) onClaims(report.claims)
        break
      case 'cancelled': onCancelled(report.ids); break
      case 'lost': this.#lose(0); break
      case 'failed':
        if (this.#failing) break // said once
        this.#failing = true
        log.warn({ worker, reason: report.message, heldForMs: Math.round(this.#heldUntil - monotonic()) }, 'the lease could not be renewed')
    }
  }

  /** A sixth of the lease is for attempts to hear of it and settle. */
  #await (): void {
    if (this.#deadline !== null) clearTimeout(this.#deadline)
    const marginMs = this.#settings.leaseMs / 6
    this.#deadline = setTimeout(() => {
      // The loop itself may be late, with a renewal's report still unread behind it.
      setImmediate(() => {
        if (this.#over) return
        if (monotonic() < this.#heldUntil - marginMs) return this.#await() // renewed, or the timer was early
        this.#lose(Math.max(0, this.#heldUntil - monotonic()))
      })
    }, Math.min(Math.max(0, this.#heldUntil - marginMs - monotonic()), TIMER_MAX_MS))
  }

  #lose (marginMs: number): void {
    this.#over = true
    this.#settings.onLost(marginMs)
  }
}
