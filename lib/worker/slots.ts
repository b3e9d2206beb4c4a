import type { ClaimedRow, Store } from '../store/store.js'
import type { AbortCause } from '../run/outcome.js'
import { BUFFER_AHEAD_MS, BUFFER_HOLD_MS } from '../core/limits.js'
import { aheadOf, Buffer, type Entry } from './buffer.js'
import type { Room } from './room.js'
import type { Claim } from './ledger.js'
import type { Outage } from './outage.js'
import type { Pace } from './pace.js'
import type { Run, Runner } from './runner.js'
import { Runs } from './runs.js'
import type { Session } from './session.js'

export interface SlotsSettings {
  readonly store: Store
  readonly concurrency: number
  readonly maxTasks: number | null
  readonly pace: Pace
  readonly runner: Runner
  readonly outage: Outage
  /** A row is about to be started. */
  readonly onStart: (entry: Entry) => void
}

const MARKING = 'tasks could not be marked as started'

/** The slots of a worker: what runs in them, and what is claimed ahead for them. */
export class Slots {
  readonly runs = new Runs()
  readonly #settings: SlotsSettings
  readonly #buffer = new Buffer()
  #started = 0
  #stuck = 0
  #marking = false
  #closed = false
  #holdTimer: NodeJS.Timeout | null = null

  constructor (settings: SlotsSettings) {
    this.#settings = settings
  }

  /** Attempts started since the beginning. */
  get started (): number {
    return this.#started
  }

  get empty (): boolean {
    return this.runs.size === 0 && this.#buffer.length === 0
  }

  /** True where as many attempts were started as may be. */
  get spent (): boolean {
    const { maxTasks } = this.#settings
    return maxTasks !== null && this.#started >= maxTasks
  }

  /** What a claim may take now: what would start at once, and ahead no more than would start within 20 ms. */
  room (): Room | null {
    const { concurrency, maxTasks, pace, store } = this.#settings
    const free = concurrency - this.runs.size
    const buffered = this.#buffer.length
    const ahead = Math.min(aheadOf(store), pace.startsWithin(BUFFER_AHEAD_MS))
    // Refilled when it is half empty, so that a claim takes a batch and not a row.
    if (buffered >= Math.max(free, 1) && buffered * 2 > ahead) return null
    const unspent = maxTasks === null ? Infinity : maxTasks - this.#started - buffered
    const limit = Math.min(free + ahead - buffered, unspent)
    if (limit < 1) return null
    // Marked with the claim: what starts at once, and what comes within a stride of it.
    return { limit, start: Math.min(limit, Math.max(0, free + pace.stride - buffered)), free: Math.min(limit, Math.max(0, free - buffered)) }
  }

  /** Rows of a claim that has arrived; started in their order, as slots come free. */
  add (session: Session, claim: Claim, rows: readonly ClaimedRow[]): void {
    const since = performance.now()
    const entries = rows.map((row, place) => ({ row, claim, place, session, since }))
    session.hold(rows.length)
    // A claim that was under way when an attempt got stuck gives back what it brings: here it would have to wait. So does one
    // that was when rows were handed back: they come before.
    if (this.#stuck > 0 || session.reporter.returning) this.#giveBack(entries, false)
    else for (const entry of entries) this.#buffer.push(entry)
    if (this.#closed || session.lost) this.release()
    else this.pump()
  }

  /** Start what is claimed, as far as there are slots. */
  pump (): void {
    const { concurrency, runner } = this.#settings
    while (this.runs.size < concurrency && !this.#closed) {
      const entry = this.#buffer.first()
      if (entry === undefined) break
      // Charged if the process dies: not before it is marked.
      if (entry.place >= entry.claim.marked) { this.#mark(entry); break }
      // It was there when a process died, and may be why: what has ended beside it is written first.
      if (entry.row.deaths > 0 && !entry.session.reporter.idle) break
      this.#buffer.shift()
      this.#started += 1
      this.#settings.onStart(entry)
      this.runs.add(runner.start(entry))
    }
    this.#markAhead()
    this.#watchHold()
  }

  /** Runs that ignore their signal. */
  get stuck (): number {
    return this.#stuck
  }

  /** A run has an outcome and goes on all the same. */
  stick (): void {
    this.#stuck += 1
  }

  /** A run has settled. */
  free (run: Run): void {
    this.runs.delete(run)
    if (run.stuck) this.#stuck -= 1
    run.session.hold(-1)
  }

  abort (cause: AbortCause, session?: Session): void {
    for (const run of this.runs) if (session === undefined || run.session === session) this.#settings.runner.abort(run, cause)
  }

  /** Rows of the session are to be cancelled: running ones are aborted, buffered ones are never started. */
  cancel (session: Session, ids: readonly string[]): void {
    const wanted = new Set(ids)
    for (const run of this.runs) if (run.session === session && wanted.has(run.row.id)) this.#settings.runner.abort(run, 'cancelled')
    this.#giveBack(this.#buffer.take((entry) => entry.session === session && wanted.has(entry.row.id)), true)
  }

  /** Hand back what is buffered, uncharged. */
  release (session?: Session): void {
    this.#giveBack(this.#buffer.take((entry) => session === undefined || entry.session === session), false)
  }

  /** Start nothing more, and hand back what is buffered or comes late. */
  close (): void {
    this.#closed = true
    if (this.#holdTimer !== null) clearTimeout(this.#holdTimer)
    this.release()
  }

  #giveBack (entries: readonly Entry[], cancelled: boolean): void {
    for (const entry of entries) {
      entry.session.hold(-1)
      this.#settings.runner.release(entry, cancelled)
    }
  }

  /** Mark the next strides before they are needed, while the last one runs. */
  #markAhead (): void {
    const entry = this.#buffer.first()
    if (entry === undefined) return
    const stride = this.#settings.pace.stride
    const { claim, place } = entry
    if (stride > 1 && claim.marked < claim.rows && claim.marked - place < stride / 2) this.#mark(entry)
  }

  #mark ({ claim, place, session }: Entry): void {
    if (this.#marking) return
    const { store, concurrency, pace, outage } = this.#settings
    const free = Math.max(1, concurrency - this.runs.size)
    const target = Math.min(claim.rows, place + Math.max(free, pace.stride))
    this.#marking = true
    const done = (wait: number): void => {
      const go = (): void => {
        this.#marking = false
        this.pump()
      }
      if (wait === 0) go()
      else setTimeout(go, wait).unref()
    }
    store.markStarted({ worker: session.id, claim: claim.number }, target).then(() => {
      claim.marked = target
      outage.over(MARKING)
      done(0)
    }, (error: unknown) => { done(outage.failed(error, MARKING)) })
  }

  /** What does not get its turn in time goes back: the tasks have turned out long, and others may be idle. */
  #watchHold (): void {
    if (this.#holdTimer !== null || this.#closed || this.#buffer.length === 0) return
    this.#holdTimer = setTimeout(() => {
      this.#holdTimer = null
      const oldest = this.#buffer.first()
      if (oldest !== undefined && performance.now() - oldest.since >= BUFFER_HOLD_MS && !this.#marking) {
        this.#settings.pace.forget()
        this.release()
      }
      this.#watchHold()
    }, BUFFER_HOLD_MS)
  }
}
