import type { FastifyInstance } from 'fastify'
import type { Knex } from 'knex'
import type { AttemptRequest, RunningAttempt } from './attempt.js'
import type { AbortCause, Outcome } from './outcome.js'
import { ATTEMPT_ENDED, CANCELLED, INVALID_RESULT, INVALID_TASK, LEASE_LOST, SHUTDOWN, TIMEOUT, UNSUPPORTED } from '../core/errors.js'
import { briefFailure, describeFailure } from '../core/failure.js'
import { isFatal } from '../core/retry.js'
import { after } from '../core/timer.js'
import { createContext } from './context.js'
import { withinAttempt, type CurrentAttempt } from './current.js'
import { encodeProgress, encodeReturned } from './encode.js'
import { logFields } from './log-fields.js'

/**
 * Run a task's function once and say what it led to. Writes nothing and never throws: whatever the function does, the
 * attempt has exactly one outcome. Of what may decide it, the first counts:
 *
 * - `context.transaction()` committed: `committed`, also when the function throws or hangs afterwards;
 * - a cause aborted the attempt before the function settled: a timeout fails it, a cancellation cancels it and a lost
 *   lease interrupts it, whatever the function returns or throws; a shutdown interrupts it unless it returns, and fails
 *   one that has called `app.close()` itself;
 * - the function returned, or threw.
 *
 * An aborted function gets `timeoutGrace` to settle; then the attempt has its outcome without it.
 */
export function runAttempt (request: AttemptRequest): RunningAttempt {
  const attempt = new Attempt(request)
  attempt.start()
  return attempt
}

/** `failed`: something outside of the function failed the attempt, see CurrentAttempt.fail. */
type Cause = AbortCause | 'failed'

class Attempt implements RunningAttempt, CurrentAttempt {
  readonly outcome: Promise<Outcome>
  readonly #request: AttemptRequest
  readonly #started = performance.now()
  #resolve!: (outcome: Outcome) => void
  #stopTimer: () => void = () => {}
  #controller: AbortController | undefined
  #cause: Cause | null = null
  #reason: unknown
  #closesApp = false
  #ended = false
  #settled = false
  #whenSettled: { promise: Promise<void>, settle: () => void } | undefined
  #whenOverdue: { promise: Promise<void>, settle: () => void } | undefined
  #overdue = false
  /** While a function given to context.transaction() runs: it may ignore that its transaction was given up. */
  #inside: Promise<void> | null = null
  /** Gives up the transaction that the function is inside of. */
  #leaveTransaction: ((error: Error) => void) | null = null
  #transaction: 'none' | 'open' | 'committed' = 'none'
  #open: Promise<unknown> | undefined
  /** The refusal of a value by the gate inside of context.transaction(); thrown on by the function, it is final. */
  #refused: unknown = this

  constructor (request: AttemptRequest) {
    this.#request = request
    this.outcome = new Promise((resolve) => { this.#resolve = resolve })
  }

  get id (): string { return this.#request.taskResult.id }
  get taskName (): string { return this.#request.task.name }
  get ended (): boolean { return this.#ended }
  get isSettled (): boolean { return this.#settled }

  get settled (): Promise<void> {
    this.#whenSettled ??= settleable(this.#settled)
    return this.#whenSettled.promise
  }

  get overdue (): Promise<void> {
    this.#whenOverdue ??= settleable(this.#overdue)
    return this.#whenOverdue.promise
  }

  get signal (): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#cause !== null) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  start (): void {
    const { timeout } = this.#request
    if (timeout !== null) this.#stopTimer = after(timeout, () => { this.abort('timeout') })
    withinAttempt(this, () => { this.#call() })
  }

  abort (cause: AbortCause): void {
    this.#abort(cause, cause === this.#cause ? this.#reason : this.#reasonOf(cause))
  }

  fail (error: unknown): void {
    this.#abort('failed', error)
  }

  closes (root: FastifyInstance): void {
    const { app } = this.#request
    if (app === root || Object.prototype.isPrototypeOf.call(root, app)) this.#closesApp = true
  }

  async progress (value: unknown): Promise<void> {
    if (this.#ended) throw new ATTEMPT_ENDED('store progress')
    const text = await encodeProgress(this.#request, value)
    if (this.#ended) throw new ATTEMPT_ENDED('store progress')
    await this.#request.progress?.(text)
  }

  async transaction<T> (fn: (trx: Knex.Transaction) => Promise<T>): Promise<T> {
    const request = this.#request
    if (request.transaction === undefined) throw new UNSUPPORTED(request.task.backend, 'context.transaction()')
    if (this.#settled) throw new ATTEMPT_ENDED('open a transaction')
    this.#mayCommit()
    if (this.#transaction === 'open') throw new ATTEMPT_ENDED('open a second transaction beside the first')
    this.#transaction = 'open'
    let value: T
    try {
      // It keeps rows locked, and SQLite's only writer: it does not outlive the attempt, whatever the function waits for.
      const left = new Promise<never>((_resolve, reject) => { this.#leaveTransaction = reject })
      left.catch(() => {})
      const open = request.transaction(async (trx) => {
        this.#mayCommit() // it may have waited for its turn until the attempt had ended
        return await Promise.race([this.#runInside(fn, trx), left])
      }, async (returned) => await this.#encodeForCommit(returned))
      this.#open = open
      value = await open
    } catch (error) {
      this.#transaction = 'none'
      throw error
    } finally {
      this.#leaveTransaction = null
    }
    this.#transaction = 'committed'
    this.#end({ kind: 'committed', value, durationMs: this.#duration() })
    return value
  }

  async #runInside<T> (fn: (trx: Knex.Transaction) => Promise<T>, trx: Knex.Transaction): Promise<T> {
    let leave = (): void => {}
    this.#inside = new Promise((resolve) => { leave = resolve })
    try {
      return await fn(trx)
    } finally {
      this.#inside = null
      leave()
    }
  }

  #call (): void {
    const request = this.#request
    const { task, args } = request
    let returned: unknown
    try {
      if (request.isolated !== undefined) returned = request.isolated(request, this)
      else returned = task.takesContext ? task.func(createContext(request, this), ...args) : task.func(...args)
      if ((typeof returned === 'object' && returned !== null) || typeof returned === 'function') {
        // Also for what is no promise of ours: resolve() takes any thenable, once, and catches what it throws.
        Promise.resolve(returned).then((value) => { this.#returned(value) }, (error: unknown) => { this.#threw(error) })
        return
      }
    } catch (error) {
      this.#threw(error)
      return
    }
    this.#returned(returned)
  }

  #returned (value: unknown): void {
    this.#settle()
    if (this.#ended) return
    if (this.#cause !== null && this.#cause !== 'shutdown') return this.#end(this.#aborted(this.#cause))
    if (this.#transaction === 'open') {
      // Returned without awaiting it. It decides: a success without its writes would be a lie.
      this.#open?.catch((error: unknown) => { this.#threw(error) })
      return
    }
    const done = (text: string): void => {
      // Time ran out, or a shutdown came, while the value was being encoded: it had been returned before.
      const counts = this.#cause === null || this.#cause === 'timeout' || this.#cause === 'shutdown'
      this.#end(counts ? { kind: 'returned', value, text, durationMs: this.#duration() } : this.#aborted(this.#cause as Cause))
    }
    try {
      const text = encodeReturned(this.#request, value)
      if (typeof text === 'string') done(text)
      else text.then(done, (error: unknown) => { this.#end(this.#failed(error, true)) })
    } catch (error) {
      this.#end(this.#failed(error, true))
    }
  }

  #threw (error: unknown): void {
    this.#settle()
    if (this.#transaction === 'committed') {
      const { log, taskResult, attempt } = this.#request
      log.warn({ ...logFields(taskResult, attempt), ...briefFailure(error) }, 'task threw after context.transaction() had ended it; it stays SUCCESSFUL')
    } else if (!this.#ended) {
      this.#end(this.#cause === null ? this.#failed(error, this.#isFinal(error)) : this.#aborted(this.#cause))
    }
  }

  /** The function has settled. One that blocked the loop past its timeout has timed out, though no timer could say so. */
  #settle (): void {
    // The task is not run again while any of it goes on.
    if (this.#inside !== null) { void this.#inside.then(() => { this.#settle() }); return }
    this.#settled = true
    this.#whenSettled?.settle()
    if (this.#ended) this.#stopTimer()
    const { timeout } = this.#request
    if (timeout !== null && this.#cause === null && this.#duration() > timeout) this.abort('timeout')
  }

  #abort (cause: Cause, reason: unknown): void {
    // The first cause stands, but for a shutdown: what it interrupts may still be cancelled, or be somebody else's.
    const replaces = this.#cause === null || (this.#cause === 'shutdown' && (cause === 'cancelled' || cause === 'lease-lost'))
    // What goes on after its commit hears of it, too.
    const over = this.#transaction === 'committed' ? this.#settled : this.#ended
    if (over || !replaces) return
    const first = this.#cause === null
    this.#cause = cause
    this.#reason = reason
    if (!first) return
    this.#stopTimer()
    this.#stopTimer = after(this.#request.timeoutGrace, () => { this.#graceOver() })
    // Listeners are the task's code: what they throw, or start, belongs to this attempt.
    if (this.#controller !== undefined) withinAttempt(this, () => { this.#controller?.abort(reason) })
  }

  #graceOver (): void {
    if (!this.#ended) this.#end(this.#aborted(this.#cause as Cause))
    if (this.#settled) return
    this.#overdue = true
    this.#whenOverdue?.settle()
  }

  #reasonOf (cause: AbortCause): Error {
    switch (cause) {
      case 'timeout': return new TIMEOUT(this.taskName, this.#request.timeout ?? 0)
      case 'cancelled': return new CANCELLED(this.id)
      case 'shutdown': return new SHUTDOWN()
      case 'lease-lost': return new LEASE_LOST()
    }
  }

  #aborted (cause: Cause): Outcome {
    switch (cause) {
      case 'cancelled': return Object.freeze({ kind: 'cancelled', failure: this.#describe(this.#reason), durationMs: this.#duration() })
      case 'shutdown':
        // Handed back, or tried again, it would close the app of whoever runs it next.
        if (this.#closesApp) return this.#failed(new UNSUPPORTED(this.#request.task.backend, 'a task that goes on after it has called app.close(), which waits for the task'), true)
        return Object.freeze({ kind: 'interrupted', durationMs: this.#duration() })
      case 'lease-lost': return Object.freeze({ kind: 'interrupted', durationMs: this.#duration() })
      default: return this.#failed(this.#reason, false)
    }
  }

  #failed (error: unknown, final: boolean): Outcome {
    return { kind: 'failed', error, failure: this.#describe(error), final, durationMs: this.#duration() }
  }

  #isFinal (error: unknown): boolean {
    return error === this.#refused || isFatal(error) || (this.#request.isolated !== undefined && isOfIsolation(error))
  }

  #describe (error: unknown): ReturnType<typeof describeFailure> {
    return describeFailure(error, this.#request.attempt, this.#request.now())
  }

  /** Refuse a commit after the end, or after a signal whose rule it would break; a shutdown lets it through. */
  #mayCommit (): void {
    if (this.#ended) throw new ATTEMPT_ENDED('commit a transaction')
    if (this.#cause !== null && this.#cause !== 'shutdown') throw this.#reason
  }

  async #encodeForCommit (value: unknown): Promise<string> {
    this.#mayCommit()
    try {
      return await encodeReturned(this.#request, value)
    } catch (error) {
      this.#refused = error
      throw error
    } finally {
      this.#mayCommit() // an encoder may take its time
    }
  }

  #end (outcome: Outcome): void {
    if (this.#ended) return
    this.#ended = true
    // The timeout goes for what comes after a commit as well.
    if (outcome.kind !== 'committed' || this.#settled) this.#stopTimer()
    // Null unless one is open: an error, with its stack, is the dearest thing that an attempt could make.
    if (this.#leaveTransaction !== null) this.#leaveTransaction(new ATTEMPT_ENDED('go on with a transaction'))
    this.#resolve(Object.freeze(outcome))
  }

  #duration (): number {
    return Math.round((performance.now() - this.#started) * 1000) / 1000
  }
}

/** What would be so at any attempt. An error that was thrown in a thread is remade as an Error, and is none of these. */
function isOfIsolation (error: unknown): boolean {
  return [INVALID_RESULT, INVALID_TASK, UNSUPPORTED].some((type) => error instanceof type)
}

/** A promise to be made when it is first asked for. */
function settleable (settled: boolean): { promise: Promise<void>, settle: () => void } {
  let settle = (): void => {}
  const promise = new Promise<void>((resolve) => { settle = resolve })
  if (settled) settle()
  return { promise, settle }
}
