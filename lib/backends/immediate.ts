import { randomUUID } from 'node:crypto'
import type { Knex } from 'knex'
import { BaseTaskBackend, type BackendConfig, type EnqueueRequest } from './base.js'
import { committed } from './commit.js'
import { checkRunOptions, type CheckedRunOptions, type RunOptions } from './run-options.js'
import { ImmediateResults, type ImmediateRecord } from './immediate-results.js'
import { CLOSED, TRANSACTION_MISMATCH } from '../core/errors.js'
import { describeFailure } from '../core/failure.js'
import { hostOf } from '../core/host.js'
import { decode } from '../core/json.js'
import { SHUTDOWN_GRACE_MS, WORKER_IDS_MAX } from '../core/limits.js'
import type { ResultSource, TaskResult } from '../core/result.js'
import { createTaskResult } from '../core/result.js'
import { decide, withError, type Decision } from '../core/retry.js'
import { optionsOf } from '../core/task.js'
import { after } from '../core/timer.js'
import { waitByReading } from '../core/wait.js'
import type { EventDetails, HookName } from '../run/events.js'
import { runAttempt } from '../run/executor.js'
import type { Outcome } from '../run/outcome.js'

const POLL_MAX_MS = 50 // a look into this process's memory costs nothing

/**
 * Runs a task inside of its enqueue, in this process, and returns the finished result: for development, and for moving
 * code over before there is a database. A task that throws gives a FAILED result and never a throwing enqueue.
 *
 * Retries and timeouts apply, but a retry follows at once: nobody wants an enqueue that takes minutes. Priority is
 * accepted and has no effect. With `using({ transaction })` the enqueue returns a READY result, and the task runs after
 * the commit, or never. The last 1,000 finished results can be read, in this process.
 */
export class ImmediateBackend extends BaseTaskBackend<RunOptions> {
  override readonly supportsGetResult = true
  override readonly supportsPriority = true
  override readonly supportsRetry = true
  override readonly supportsTimeout = true
  override readonly supportsTransaction = true
  override readonly announcesEnqueues = true

  readonly #defaults: CheckedRunOptions
  readonly #results = new ImmediateResults()
  readonly #workerId = `immediate-${randomUUID()}`
  readonly #waiting = new WeakMap<Knex.Transaction, ImmediateRecord[]>()
  #closed = false

  /** @throws FST_TASKS_INVALID_CONFIG */
  constructor (config: BackendConfig<RunOptions>) {
    super(config)
    this.#defaults = checkRunOptions(config.alias, config.options)
  }

  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    if (requests.some(({ task }) => optionsOf(task).transaction?.isCompleted())) throw new TRANSACTION_MISMATCH(this.alias, 'it has ended already.')
    const results: TaskResult[] = []
    for (const request of requests) {
      const { transaction } = optionsOf(request.task)
      const record = this.#results.add(request, this.createFields(request))
      if (transaction === null) await this.#begin(record)
      else this.#afterCommit(transaction, record)
      results.push(this.#snapshot(record))
    }
    return results
  }

  override async getResult (id: string): Promise<TaskResult> {
    return this.#snapshot(this.#results.get(id))
  }

  /** All that have not ended, and the last 1,000 of those that have, in the order of their enqueues. */
  get results (): TaskResult[] {
    return [...this.#results].map((record) => this.#snapshot(record))
  }

  /** What runs gets 30 s to end; then it is aborted, and its result is FAILED. */
  override async close (): Promise<void> {
    this.#closed = true
    const stop = after(SHUTDOWN_GRACE_MS, () => { for (const record of this.#results.open()) record.running?.abort('shutdown') })
    await Promise.all([...this.#results.open()].map((record) => record.done))
    stop()
  }

  protected override source (): ResultSource {
    const read = async (id: string): Promise<ReturnType<ImmediateResults['fieldsOf']>> => this.#results.fieldsOf(this.#results.get(id))
    return {
      ...super.source(),
      read,
      wait: async (id, options) => await waitByReading(id, read, options, POLL_MAX_MS),
      cancel: async (id) => this.#cancel(this.#results.get(id)),
      retry: async (id) => await this.#retry(this.#results.get(id))
    }
  }

  #snapshot (record: ImmediateRecord): TaskResult {
    return createTaskResult(this.#results.fieldsOf(record), this.source())
  }

  async #begin (record: ImmediateRecord): Promise<void> {
    record.update({ enqueuedAt: new Date(this.now()) })
    this.#emit('onEnqueued', record)
    await this.#run(record)
  }

  /** In the order of their enqueues, once their transaction is committed; rolled back, they have never been. */
  #afterCommit (transaction: Knex.Transaction, record: ImmediateRecord): void {
    const waiting = this.#waiting.get(transaction)
    if (waiting !== undefined) {
      waiting.push(record)
      return
    }
    const records = [record]
    this.#waiting.set(transaction, records)
    void committed(transaction).then(async (happened) => {
      for (const next of records) {
        if (!happened) this.#results.forget(next)
        else if (next.fields.status === 'READY') await this.#begin(next)
      }
    })
  }

  /** Attempt after attempt until the result has ended. Never throws. */
  async #run (record: ImmediateRecord): Promise<void> {
    const run = async (): Promise<void> => {
      while (record.fields.status === 'READY') {
        const outcome = await this.#attempt(record)
        this.#conclude(record, outcome)
      }
    }
    record.done = run()
    await record.done
  }

  async #attempt (record: ImmediateRecord): Promise<Outcome> {
    const { task, argsText } = record.request
    const { fields } = record
    const options = optionsOf(task)
    const now = new Date(this.now())
    const attempt = fields.attempts + 1
    record.update({
      status: 'RUNNING',
      startedAt: fields.startedAt ?? now,
      lastAttemptedAt: now,
      attempts: attempt,
      workerIds: Object.freeze([...fields.workerIds, this.#workerId].slice(-WORKER_IDS_MAX))
    })
    this.#emit('onStarted', record)
    if (this.#closed) return interruptedBeforehand()
    record.running = runAttempt({
      app: this.app,
      task,
      args: decode(argsText) as unknown[], // of its own: a task may change what it was given
      taskResult: this.#snapshot(record),
      attempt,
      log: hostOf(this.app).log,
      timeout: options.timeout === undefined ? this.#defaults.timeout : options.timeout,
      timeoutGrace: options.timeoutGrace ?? this.#defaults.timeoutGrace,
      maxResultBytes: this.#defaults.maxResultBytes,
      maxDepth: this.#defaults.maxDepth,
      now: () => this.now(),
      progress: async (text) => { record.progress = text }
    })
    return await record.running.outcome
  }

  #conclude (record: ImmediateRecord, outcome: Outcome): void {
    const { running } = record
    record.running = undefined
    const decision = this.#decide(record, outcome)
    const details: EventDetails = { durationMs: outcome.durationMs }
    if (decision.status === 'READY' && running?.isSettled !== false) {
      record.errors = decision.errors
      record.update({ status: 'READY' })
      this.#emit('onRetried', record, { ...details, delay: 0 })
      return
    }
    if (decision.status === 'SUCCESSFUL') record.returnValue = decision.returnValue
    else record.errors = decision.errors
    // Never two attempts at once: one that ignores its signal beyond the grace is the last.
    record.update({ status: decision.status === 'READY' ? 'FAILED' : decision.status, finishedAt: new Date(this.now()) })
    this.#results.finish(record)
    this.#emit('onFinished', record, details)
  }

  #decide (record: ImmediateRecord, outcome: Outcome): Decision {
    const { errors, request } = record
    switch (outcome.kind) {
      case 'interrupted': // nobody could take it over
        return { status: 'FAILED', errors: withError(errors, describeFailure(new CLOSED('finish the task'), record.fields.attempts, this.now())) }
      case 'committed':
        throw new Error('no attempt of this backend is given a transaction')
      default:
        return decide(outcome, {
          retry: optionsOf(request.task).retry ?? this.#defaults.retry,
          attempts: record.fields.attempts - record.priorAttempts,
          deaths: 0,
          errors
        })
    }
  }

  #cancel (record: ImmediateRecord): boolean {
    switch (record.fields.status) {
      case 'READY':
        record.update({ status: 'CANCELLED', finishedAt: new Date(this.now()) })
        this.#results.finish(record)
        this.#emit('onFinished', record)
        return true
      case 'RUNNING':
        record.running?.abort('cancelled')
        return record.running !== undefined
      default:
        return false
    }
  }

  /** Runs it again here and now, with a new budget of retries. */
  async #retry (record: ImmediateRecord): Promise<boolean> {
    const { status, attempts } = record.fields
    if (status !== 'FAILED' && status !== 'CANCELLED') return false
    record.priorAttempts = attempts
    record.progress = null
    record.update({ status: 'READY', finishedAt: null })
    this.#results.reopen(record)
    await this.#run(record)
    return true
  }

  #emit (name: HookName, record: ImmediateRecord, details?: EventDetails): void {
    const { events } = hostOf(this.app)
    if (events.wants(name, record.fields.status)) events.emit(name, this.#snapshot(record), details)
  }
}

function interruptedBeforehand (): Outcome {
  return Object.freeze({ kind: 'interrupted', durationMs: 0 })
}
