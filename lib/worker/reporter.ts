import type { FastifyBaseLogger } from 'fastify'
import type { ClaimedRow, Ending, FinishedRow, Store } from '../store/store.js'
import { CLAIM_LOST, INVALID_RESULT } from '../core/errors.js'
import { FINISH_ROWS_MAX } from '../core/limits.js'
import { describeFailure } from '../core/failure.js'
import { withError } from '../core/retry.js'
import { isPermanent } from '../store/faults.js'
import { aheadOf } from './buffer.js'
import type { Claim, Ledger } from './ledger.js'
import type { Outage } from './outage.js'
import { pause, settledWithin } from './pause.js'

/** One row whose end is to be written. */
export interface Report {
  readonly row: ClaimedRow
  readonly claim: Claim
  /** Null: hand it back, uncharged. */
  readonly ending: Ending | null
  /** Of the attempt. */
  readonly durationMs?: number
  /**
   * Called once the store has accepted it, not where it was refused. Null for a row that was handed back. `report`: this
   * one, whose ending may have become a failure, where the database has refused the value.
   */
  readonly written?: (finished: FinishedRow | null, report: Report) => void
  /** How often the database refused just this one. */
  readonly strikes?: number
}

export interface ReporterSettings {
  readonly store: Store
  /** Id of the worker that holds the claims. */
  readonly worker: string
  readonly ledger: Ledger
  readonly log: FastifyBaseLogger
  readonly outage: Outage
  /** Called when everything reported so far is written. */
  readonly onIdle: () => void
}

const WRITING = 'endings of tasks could not be written'
// Tries after which a row that alone is refused again and again, while others pass, is given up.
const STRIKES_MAX = 3

/**
 * Writes endings and hands rows back, by group commit: while one write is under way, what comes meets in the next. No
 * delay when idle, full batches under load. Goes on through an outage until it is told to give up.
 */
export class Reporter {
  readonly #settings: ReporterSettings
  readonly #giveUp = new AbortController()
  #queue: Report[] = []
  /** On its way to the store. */
  #batch: Report[] = []
  #settled = false
  /** Nobody waits for what is reported now. */
  #over = false
  #flush: Promise<void> | null = null
  #refused = 0
  /** Handed back, and not tried yet. */
  readonly #returning = new Set<Report>()

  constructor (settings: ReporterSettings) {
    this.#settings = settings
  }

  /** Endings that the store has not confirmed. What is to be handed back is not among them. */
  get unwritten (): Ending[] {
    return [...this.#batch, ...this.#queue].flatMap(({ ending }) => ending === null ? [] : [ending])
  }

  get idle (): boolean {
    return this.#flush === null
  }

  /** Rows were handed back that are not there yet. Not said of those that the store could not take back: that may last. */
  get returning (): boolean {
    return this.#returning.size > 0
  }

  /** Nothing is to be claimed: much waits to be written, or rows come before others that are not there yet. */
  get behind (): boolean {
    return this.#queue.length > 2 * aheadOf(this.#settings.store) || this.returning
  }

  /** Writes that were refused because the token no longer held. */
  get refused (): number {
    return this.#refused
  }

  report (report: Report): void {
    this.#queue.push(report)
    if (report.ending === null) this.#returning.add(report)
    this.#start()
  }

  /** The row's end is written already, by its own transaction. */
  settle (claim: Claim): void {
    this.#settings.ledger.settle(claim)
    this.#settled = true
    this.#start()
  }

  /** The worker has ended. What an attempt reports that went on all the same is tried once: its store may be closed. */
  end (): void {
    this.#over = true
  }

  /** Hand back all rows of claims whose reply was lost. */
  async releaseClaims (claims: readonly number[]): Promise<void> {
    const { store, worker, log } = this.#settings
    const released = await store.releaseClaims(worker, claims)
    if (released.length > 0) log.warn({ worker, claims, released: released.length }, 'tasks of a claim whose answer was lost were handed back')
  }

  /** True once all is written; false where it is not within `milliseconds`, and is given up. */
  async drain (milliseconds: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#flush === null || await settledWithin(this.#flush, milliseconds, signal)) return true
    this.#giveUp.abort()
    await settledWithin(this.#flush, 1_000)
    return false
  }

  #start (): void {
    this.#flush ??= new Promise<void>((resolve) => {
      // One turn of the loop later, so that attempts that end together are written together.
      setImmediate(() => { void this.#run().then(resolve) })
    })
  }

  async #run (): Promise<void> {
    const { outage, log, worker, onIdle } = this.#settings
    let alone = false
    while ((this.#queue.length > 0 || this.#settled) && !this.#giveUp.signal.aborted) {
      const batch: Report[] = this.#queue.splice(0, alone ? 1 : FINISH_ROWS_MAX)
      this.#batch = batch
      this.#settled = false
      try {
        await this.#write(batch)
        this.#batch = []
        outage.over(WRITING)
        alone = false
      } catch (error) {
        if (this.#over) this.#giveUp.abort()
        for (const report of batch) this.#returning.delete(report)
        const wait = outage.failed(error, WRITING)
        this.#queue.push(...(batch.length === 1 ? await this.#judge(batch, error) : batch).map(sent))
        this.#batch = []
        this.#settled = true
        // One row may spoil a batch: the next try is with one alone.
        alone = batch.length > 1
        await pause(wait, this.#giveUp.signal)
      }
    }
    this.#flush = null // in the same moment as the last look: what is reported from now on begins another
    // Given up: `unwritten` has what is left.
    if (this.#queue.length > 0) log.error({ worker, ids: this.#queue.map(({ row }) => row.id) }, 'endings could not be written in time')
    onIdle()
  }

  async #write (batch: readonly Report[]): Promise<void> {
    const { store, worker, ledger } = this.#settings
    const endings: Report[] = []
    const releases: Report[] = []
    for (const report of batch) (report.ending === null ? releases : endings).push(report)
    const claims = batch.map(({ claim }) => claim)
    const ended = ledger.endedWith(claims)
    if (batch.length === 0 && ended.length === 0) return
    // What ends a claim goes with the last of the two writes.
    const released = releases.length > 0 || endings.length === 0
      ? await store.release(worker, releases.map(({ row }) => ({ id: row.id, claim: row.claim })), endings.length > 0 ? [] : ended)
      : []
    const finished = endings.length > 0 ? await store.finish(worker, endings.map(({ ending }) => ending as Ending), ended) : []
    ledger.written(claims, ended)
    for (const report of releases) this.#returning.delete(report)
    const taken = new Set(released)
    this.#tell(releases, ({ row }) => taken.has(row.id) ? null : undefined)
    this.#tell(endings, inTheirOrder(endings, finished))
  }

  /** `accepted`: undefined where the store refused it. */
  #tell (reports: readonly Report[], accepted: (report: Report, index: number) => FinishedRow | null | undefined): void {
    for (const [index, report] of reports.entries()) {
      const { row, ending, written } = report
      const finished = accepted(report, index)
      if (finished !== undefined) { written?.(finished, report); continue }
      this.#refused += 1
      this.#settings.log.warn({ err: new CLAIM_LOST(row.id), id: row.id, task: row.task, worker: this.#settings.worker, write: ending?.status ?? 'release' }, 'a write was refused: the claim is lost')
    }
  }

  /**
   * What is to be tried again after a row failed alone: the row as it is, unless the database answers and refuses just
   * this one, for good. Then its return value is at fault (a serializer may have made what the database cannot hold), and
   * the task has failed. A full disk and a lock let reads pass as well: they say nothing of the row.
   */
  async #judge (batch: readonly Report[], error: unknown): Promise<readonly Report[]> {
    const [report] = batch
    if (!isPermanent(error)) return batch
    if (report === undefined || report.ending === null || !await this.#settings.store.ping().then(() => true, () => false)) return batch
    const strikes = (report.strikes ?? 0) + 1
    if (strikes < STRIKES_MAX) return [{ ...report, strikes }]
    const { row, ending } = report
    this.#settings.log.error({ id: row.id, task: row.task }, 'the database refuses the ending of this task')
    if (ending.status !== 'SUCCESSFUL') return []
    const failure = describeFailure(new INVALID_RESULT('the database refuses it'), row.attempts, Date.now())
    return [{ ...report, strikes: 0, ending: { id: row.id, claim: row.claim, status: 'FAILED', errors: withError(row.errors, failure) } }]
  }
}

/** What has become of each. The usual case, of a thousand rows at a time, is that all were accepted, and came back as they went. */
function inTheirOrder (endings: readonly Report[], finished: readonly FinishedRow[]): (report: Report, index: number) => FinishedRow | undefined {
  if (finished.length === endings.length && endings.every(({ row }, index) => finished[index]?.id === row.id)) return (_report, index) => finished[index]
  const byId = new Map(finished.map((row) => [row.id, row]))
  return ({ row }) => byId.get(row.id)
}

/** The call failed, but it may have taken effect. */
function sent (report: Report): Report {
  return report.ending === null ? report : { ...report, ending: { ...report.ending, sent: true } }
}
