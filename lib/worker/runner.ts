import type { ResultFields } from '../core/result.js'
import type { AnyTask } from '../core/task.js'
import type { ClaimedRow, Ending, FinishedRow } from '../store/store.js'
import type { AbortCause, Outcome } from '../run/outcome.js'
import type { RunningAttempt } from '../run/attempt.js'
import { fieldsOf } from '../backends/codec.js'
import { CLAIM_LOST, TIMEOUT } from '../core/errors.js'
import { PROGRESS_WAIT_MS } from '../core/limits.js'
import { describeFailure } from '../core/failure.js'
import { decide, type Decidable } from '../core/retry.js'
import { checkStoredArguments } from '../core/schema.js'
import { runAttempt } from '../run/executor.js'
import { openTransaction } from '../run/open-transaction.js'
import type { Entry } from './buffer.js'
import { ClaimedAttempt, type AttemptSettings } from './claimed-attempt.js'
import type { Pace } from './pace.js'
import { monotonic, settledWithin } from './pause.js'
import { Progress } from './progress.js'
import type { Report } from './reporter.js'
import type { Session } from './session.js'
import { Telling } from './telling.js'

/** A claimed row that was started. */
export interface Run {
  readonly row: ClaimedRow
  readonly entry: Entry
  readonly session: Session
  /** Its place among those that run. */
  slot: number
  /** Null while the arguments are being decoded, and where they could not be. */
  attempt: RunningAttempt | null
  /** Asked for before the attempt had begun. */
  aborted: AbortCause | null
  /** Of an attempt that ignores its signal: what to write once it has settled; 'release' to hand it back. */
  held: Ending | 'release' | null
  /** It ignores its signal: it has an outcome, and has not settled. */
  stuck: boolean
  /** Its success is committed: what it still does is its own affair. */
  committed: boolean
  /** The keeper knows its limits. */
  watched: boolean
  /** Made by the first report. */
  progress: Progress | null
}

export interface RunnerSettings extends Omit<AttemptSettings, 'progress'> {
  readonly pace: Pace
  /** The attempt has settled: its slot is free. */
  readonly onFree: (run: Run) => void
  /** The attempt has an outcome, and goes on running all the same. */
  readonly onStuck: (run: Run) => void
  /** A row that was claimed and not started is READY again, due as before: it comes before rows that were claimed after it. */
  readonly onReturned: (row: ClaimedRow) => void
}

/** Runs claimed rows: from a row to an outcome, and from that to what is written. */
export class Runner {
  readonly #settings: RunnerSettings
  readonly #attempts: AttemptSettings
  readonly #telling: Telling
  /** One for all: a closure of each would keep what it was made for. */
  readonly #writtenUnheard = (finished: FinishedRow | null, report: Report): void => { this.#telling.unheard(report, finished as FinishedRow) }

  constructor (settings: RunnerSettings) {
    this.#settings = settings
    const { host, backend, isolation } = settings
    this.#attempts = { host, backend, isolation, progress: async (run, text) => { await this.#progress(run, text) } }
    this.#telling = new Telling(settings.host, settings.backend)
  }

  start (entry: Entry): Run {
    const { row, session } = entry
    const run: Run = { row, entry, session, slot: -1, attempt: null, aborted: null, held: null, stuck: false, committed: false, watched: false, progress: null }
    let fields: ResultFields | Promise<ResultFields>
    try {
      fields = this.#settings.backend.decodeRow(row)
    } catch (error) {
      fields = Promise.reject(error)
    }
    if (!(fields instanceof Promise)) this.#begin(run, fields)
    else fields.then((decoded) => { this.#begin(run, decoded) }, (error: unknown) => { this.#refuse(run, error, fieldsOf(row, { args: [], progress: null, returnValue: null })) })
    return run
  }

  abort (run: Run, cause: AbortCause): void {
    const begun = run.attempt !== null || run.aborted !== null
    run.aborted ??= cause
    if (begun) run.attempt?.abort(cause)
    else this.#release(run) // its serializer may never answer
  }

  #begin (run: Run, fields: ResultFields): void {
    const { host, backend } = this.#settings
    const { row } = run
    if (run.aborted !== null) return // handed back
    const task = host.registry.get(row.task)
    // The claim asked for known names only; a task cannot be taken off again.
    if (task === null) return this.#release(run)
    const result = backend.resultOf(fields)
    try {
      checkStoredArguments(task, fields.args)
    } catch (error) {
      return this.#refuse(run, error, fields)
    }
    const rules = backend.rulesOf(task, row)
    host.events.emit('onStarted', result)
    if (rules.timeout !== null) this.#watch(run, task, rules.timeout, rules.timeoutGrace) // before it runs: it may block at once
    run.attempt = runAttempt(new ClaimedAttempt(this.#attempts, run, task, fields.args, result, rules))
    void run.attempt.outcome.then((outcome) => {
      const reported = outcome.kind === 'returned' || outcome.kind === 'failed' ? run.progress?.pending ?? null : null
      if (reported === null) return this.#ended(run, task, fields, outcome)
      // After the ending it would be refused: what the function reported and did not wait for is not to be lost.
      void settledWithin(reported, PROGRESS_WAIT_MS).then(() => { this.#ended(run, task, fields, outcome) })
    })
  }

  /** How it ends where the loop is blocked beyond its limits: decided now, since nothing can be decided then. */
  #watch (run: Run, task: AnyTask, timeout: number, grace: number): void {
    const { row, session } = run
    if (!session.lease.guarded) return
    run.watched = true
    const error = new TIMEOUT(task.name, timeout)
    const failure = describeFailure(error, row.attempts, this.#settings.backend.now() + timeout + grace)
    session.lease.watch(row.id, { deadline: monotonic() + timeout + grace, ending: this.#decide(run, task, { kind: 'failed', error, failure, final: false, durationMs: timeout + grace }) })
  }

  #ended (run: Run, task: AnyTask, fields: ResultFields, outcome: Outcome): void {
    const attempt = run.attempt as RunningAttempt
    run.committed = outcome.kind === 'committed'
    run.stuck = !attempt.isSettled && !run.committed
    if (outcome.kind === 'committed') {
      run.session.reporter.settle(run.entry.claim)
      void this.#telling.stored(run.row, outcome.durationMs)
    } else {
      const ending = outcome.kind === 'interrupted' ? null : this.#decide(run, task, outcome)
      // An ending may be written while the attempt runs on: nobody runs the task again. What puts it back may not, nor
      // what lets another task of its limits start beside it.
      if (run.stuck && (ending === null || ending.status === 'READY' || run.row.limited === true)) this.#reportOnceSettled(run, attempt, fields, ending, outcome)
      else this.#report(run, fields, ending, outcome)
    }
    this.#settings.pace.add(outcome.durationMs)
    if (attempt.isSettled) this.#free(run)
    else this.#freeOnceSettled(run, attempt)
  }

  #free (run: Run): void {
    if (run.watched) run.session.lease.forget(run.row.id)
    this.#settings.onFree(run)
  }

  #freeOnceSettled (run: Run, attempt: RunningAttempt): void {
    const { onStuck } = this.#settings
    if (run.stuck) onStuck(run)
    else {
      void attempt.overdue.then(() => {
        if (attempt.isSettled) return
        run.stuck = true
        onStuck(run)
      })
    }
    void attempt.settled.then(() => { this.#free(run) })
  }

  #reportOnceSettled (run: Run, attempt: RunningAttempt, fields: ResultFields, ending: Ending | null, outcome: Outcome): void {
    run.held = ending ?? 'release'
    void attempt.settled.then(() => { if (run.held !== null) this.#report(run, fields, ending, outcome) })
  }

  #decide (run: Run, task: AnyTask, outcome: Decidable): Ending {
    const { row } = run
    const { id, claim, keyed } = row
    // What ends nearly every attempt, as one object.
    if (outcome.kind === 'returned') return { id, claim, status: 'SUCCESSFUL', returnValue: outcome.text, keyed }
    const { retry } = this.#settings.backend.rulesOf(task, row)
    const decision = decide(outcome, { retry, attempts: row.attempts - row.priorAttempts, deaths: row.deaths, errors: row.errors })
    return { id, claim, ...decision, ...(keyed === true && { keyed }) }
  }

  #report (run: Run, fields: ResultFields, ending: Ending | null, outcome: Outcome): void {
    run.held = null
    const { row, entry: { claim }, session: { reporter } } = run
    // What nobody will hear of is not kept until it is written.
    if (ending !== null && !this.#telling.isHeard(ending)) return reporter.report({ row, claim, ending, durationMs: outcome.durationMs, written: this.#writtenUnheard })
    reporter.report({
      row,
      claim,
      ending,
      written: (finished, { ending: written }) => {
        if (written === null) void this.#telling.stored(row, undefined, true) // handed back: it may have been cancelled meanwhile
        else this.#telling.ended(fields, written, outcome, finished as FinishedRow)
      }
    })
  }

  /** The attempt has failed before the function was called: its arguments cannot be read, or do not fit. */
  #refuse (run: Run, error: unknown, fields: ResultFields): void {
    if (run.aborted !== null) return // handed back
    const { row } = run
    const outcome: Outcome = { kind: 'failed', error, failure: describeFailure(error, row.attempts, this.#settings.backend.now()), final: true, durationMs: 0 }
    const decision = decide(outcome, { retry: undefined, attempts: row.attempts, deaths: row.deaths, errors: row.errors })
    this.#settings.host.events.emit('onStarted', this.#settings.backend.resultOf(fields))
    this.#report(run, fields, { id: row.id, claim: row.claim, ...decision }, outcome)
    queueMicrotask(() => { this.#settings.onFree(run) }) // after start() has returned the run
  }

  /** Hand back a row that was claimed and not started. */
  release ({ row, claim, session }: Entry, cancelled: boolean): void {
    session.reporter.report({
      row,
      claim,
      ending: null,
      written: () => {
        this.#settings.onReturned(row)
        if (cancelled) void this.#telling.stored(row, undefined, true)
      }
    })
  }

  #release (run: Run): void {
    this.release(run.entry, run.aborted === 'cancelled')
    queueMicrotask(() => { this.#settings.onFree(run) }) // after start() has returned the run
  }

  async #progress (run: Run, text: string): Promise<void> {
    const open = openTransaction.getStore()?.open ?? null
    // Nobody would see it before the commit; and a row that is written early is locked for as long as the transaction is
    // open, for a cancellation too. (Beside the transaction it would wait for it on SQLite.)
    if (open !== null) { open.progress = text; return }
    run.progress ??= new Progress(async (value) => { await this.#writeProgress(run, value) })
    await run.progress.store(text)
  }

  async #writeProgress ({ row, session }: Run, text: string): Promise<void> {
    if (!await this.#settings.backend.store.progress(session.id, { id: row.id, claim: row.claim }, text)) throw new CLAIM_LOST(row.id)
  }
}
