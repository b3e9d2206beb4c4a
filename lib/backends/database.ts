import type { Knex } from 'knex'
import { BaseTaskBackend, type BackendConfig, type EnqueueRequest } from './base.js'
import { Coalescer } from './coalescer.js'
import { Codec } from './codec.js'
import { committed } from './commit.js'
import type { BackendControl, BackendHealth, BackendStats, ListRequest, ResultPage, ResultSelection } from './control.js'
import { DatabaseControl, isId } from './database-control.js'
import { checkQueueLimits, limitsOf } from './database-queues.js'
import { checkIsolationFile } from './isolation-file.js'
import { TemplatedRow, type RowTemplate } from './templated-row.js'
import { decodeRules, encodeRules, type Rules } from './rules.js'
import { checkRunOptions, type CheckedRunOptions, type RunOptions } from './run-options.js'
import { waitByWatching, type Watched } from './watch.js'
import type { Clock } from '../core/clock.js'
import { CLOSED, RESULT_NOT_FOUND, TRANSACTION_MISMATCH, TRANSACTION_OPEN } from '../core/errors.js'
import { hostOf } from '../core/host.js'
import { decodeFrozen } from '../core/json.js'
import { createTaskResult, newResultFields, type ResultFields, type ResultSource, type TaskResult } from '../core/result.js'
import { optionsOf, type AnyTask } from '../core/task.js'
import { openTransaction, uniqueKeyOf } from '../run/open-transaction.js'
import { openStore, type ClaimLimits, type InsertedRow, type KnexStore, type NewRow, type Row, type StoreConfig, type WriteTransaction } from '../store/index.js'

/** Of `url` and `knex` exactly one is given. */
export interface DatabaseConfig extends BackendConfig<RunOptions>, Pick<StoreConfig, 'url' | 'knex' | 'schema' | 'tablePrefix'> {}

/**
 * Keeps results in SQLite or PostgreSQL, for workers to run. What an enqueue stores survives the death of any process.
 */
export class DatabaseBackend extends BaseTaskBackend<RunOptions> implements BackendControl {
  override readonly supportsDefer = true
  override readonly supportsGetResult = true
  override readonly supportsPriority = true
  override readonly supportsRetry = true
  override readonly supportsTimeout = true
  override readonly supportsUnique = true
  override readonly supportsConcurrency = true
  override readonly supportsRateLimit = true
  override readonly supportsIsolation = true
  override readonly supportsTags = true
  override readonly supportsTransaction = true
  override readonly announcesEnqueues = true

  readonly store: KnexStore
  /** The checked options of this backend; `retry`, `timeout` and `timeoutGrace` are for tasks that say none. */
  readonly defaults: CheckedRunOptions
  readonly #codec: Codec
  readonly #control: DatabaseControl
  readonly #coalescer: Coalescer
  /** What a queue allows across all workers. */
  readonly queueLimits: ReadonlyMap<string, ClaimLimits>
  readonly #maxReady: ReadonlyMap<string, number>
  readonly #templates = new WeakMap<AnyTask, RowTemplate>()
  /** Of rows that have none of their own. */
  readonly #rules = new WeakMap<AnyTask, Rules>()
  readonly #source: ResultSource
  readonly #closing = new AbortController()
  readonly #watched: Watched = {
    read: async (id) => await this.#read(id),
    watch: async (id, onChange) => await this.store.watch(id, onChange),
    closing: this.#closing.signal
  }

  /** @throws FST_TASKS_INVALID_CONFIG, FST_TASKS_DRIVER_MISSING */
  constructor (config: DatabaseConfig) {
    super(config)
    const { alias, url, knex, schema, tablePrefix } = config
    this.defaults = checkRunOptions(alias, config.options)
    const { maxReady, claim } = checkQueueLimits(alias, this.queues)
    this.#maxReady = maxReady
    this.queueLimits = claim
    this.store = openStore({ url, knex, schema, tablePrefix, migrate: this.defaults.migrate })
    this.#codec = new Codec(this.defaults.serializer, { maxBytes: this.defaults.maxResultBytes, maxDepth: this.defaults.maxDepth })
    this.#coalescer = new Coalescer(async (rows) => await this.store.insert(rows), this.store.single ? 1 : 2)
    this.#control = new DatabaseControl(this)
    this.#source = {
      ...super.source(),
      read: async (id) => await this.#read(id),
      wait: async (id, options) => await waitByWatching(id, this.#watched, options),
      cancel: async (id) => await this.cancel({ id }) > 0,
      retry: async (id) => await this.retry({ id }) > 0
    }
  }

  override async open (): Promise<void> {
    try {
      await this.store.open()
    } catch (error) {
      await this.store.close().catch(() => {}) // the reason why it did not open is what counts
      throw error
    }
  }

  override async close (): Promise<void> {
    this.#closing.abort(new CLOSED('wait for a result'))
    await this.store.close()
  }

  override async check (): Promise<string[]> {
    return await this.store.problems()
  }

  override useClock (clock: Clock): void {
    super.useClock(clock)
    this.store.useClock(clock)
  }

  override validateTask (task: AnyTask): void {
    if (this.#templates.has(task)) return // tasks are frozen: what was valid stays valid
    super.validateTask(task)
    checkIsolationFile(task)
    this.#templates.set(task, this.#templateOf(task))
  }

  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    const transaction = transactionOf(this.alias, requests)
    if (transaction !== null) return await this.enqueueIn(transaction, requests)
    const pending = this.#rowsOf(requests)
    const rows = Array.isArray(pending) ? pending : await pending
    const keyed = rows.some(({ unique }) => unique !== null)
    if (openTransaction.getStore() !== undefined) await this.refuseWithinTransaction(keyed ? rows : [])
    // A row with a unique key may have to wait for a stranger's transaction, and must not make others wait with it.
    const inserted = keyed ? await this.store.insert(rows) : await this.#coalescer.add(rows)
    const made = this.#resultsOf(requests, inserted)
    const results = Array.isArray(made) ? made : await made
    this.#announce(results)
    return results
  }

  /**
   * Enqueue inside of a transaction: it is there once that has been committed, and told of then.
   * @throws FST_TASKS_TRANSACTION_MISMATCH
   */
  async enqueueIn (transaction: Knex.Transaction, requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    if (transaction.isCompleted()) throw new TRANSACTION_MISMATCH(this.alias, 'it has ended already.')
    if (!await this.store.owns(transaction)) throw new TRANSACTION_MISMATCH(this.alias, 'it belongs to another database. Use a transaction of the database that this backend is on.')
    const rows = await this.#rowsOf(requests)
    const happened = committed(transaction) // watched from before the insert, so that no commit can be missed
    const open = openTransaction.getStore()?.open
    if (open?.transaction === transaction) for (const { task, unique } of rows) if (unique !== null) open.keys.add(uniqueKeyOf(task, unique.key))
    const inserted = await this.store.insert(rows, { transaction })
    const results = await this.#resultsOf(requests, inserted)
    void happened.then((isCommitted) => {
      if (!isCommitted) return
      this.store.committed()
      this.#announce(results)
    })
    return results
  }

  /** Open a transaction for a route. @throws FST_TASKS_STORE_UNAVAILABLE */
  async begin (): Promise<WriteTransaction> {
    return await this.store.begin()
  }

  /** @throws FST_TASKS_RESULT_NOT_FOUND, FST_TASKS_RESULT_UNREADABLE */
  override async getResult (id: string): Promise<TaskResult> {
    return this.resultOf(await this.#read(id))
  }

  async cancel (selection: ResultSelection): Promise<number> { return await this.#control.cancel(selection) }
  async retry (selection: ResultSelection): Promise<number> { return await this.#control.retry(selection) }
  async pause (queue: string): Promise<void> { await this.#control.pause(queue) }
  async resume (queue: string): Promise<void> { await this.#control.resume(queue) }
  async list (request: ListRequest): Promise<ResultPage> { return await this.#control.list(request) }
  async stats (): Promise<BackendStats> { return await this.#control.stats() }
  async health (): Promise<BackendHealth> { return await this.#control.health() }

  // What the worker needs of the backend: rows as results, and the rules that a row runs by.

  get maxResultBytes (): number { return this.defaults.maxResultBytes }
  get maxDepth (): number { return this.defaults.maxDepth }
  /** For return values and progress; undefined where plain JSON is right. */
  get encode (): ((value: unknown) => Promise<string>) | undefined { return this.#codec.encode }

  /** A promise only where the serializer gives one. @throws FST_TASKS_RESULT_UNREADABLE, also through the promise */
  decodeRow (row: Row): ResultFields | Promise<ResultFields> {
    return this.#codec.decodeRow(row)
  }

  /** As far as it can be read: a value that the serializer refuses throws when it is asked for. */
  async decodeReadable (row: Row): Promise<ResultFields> {
    return await this.#codec.decodeReadable(row)
  }

  resultOf (fields: ResultFields | (() => ResultFields)): TaskResult {
    return createTaskResult(fields, this.#source)
  }

  rulesOf (task: AnyTask, row: Row): Rules {
    if (row.options !== null) return decodeRules(row.options, task, this.defaults)
    let rules = this.#rules.get(task)
    if (rules === undefined) this.#rules.set(task, rules = decodeRules(null, task, this.defaults))
    return rules
  }

  /**
   * A write past a transaction of ours that is open around it would wait for its own caller.
   * @throws FST_TASKS_TRANSACTION_OPEN
   */
  async refuseWithinTransaction (keyed: readonly NewRow[] = []): Promise<void> {
    const open = openTransaction.getStore()?.open
    if (open === undefined || open === null) return
    const waits = this.store.single || keyed.some(({ task, unique }) => unique !== null && open.keys.has(uniqueKeyOf(task, unique.key)))
    if (waits && await this.store.owns(open.transaction)) throw new TRANSACTION_OPEN()
  }

  protected override source (): ResultSource {
    return this.#source
  }

  #templateOf (task: AnyTask): RowTemplate {
    const options = optionsOf(task)
    const { priority, queueName, runAfter, tags, uniqueKey, uniqueFor, onConflict } = options
    const definition = this.app.tasks.task(task.name) ?? task
    return {
      backend: this.alias,
      task: task.name,
      queue: queueName,
      priority,
      runAfter: runAfter instanceof Date ? runAfter.getTime() : null,
      delay: typeof runAfter === 'number' ? runAfter : null,
      options: encodeRules(task, definition),
      tags,
      unique: uniqueKey === null ? null : { key: uniqueKey, scope: uniqueFor, onConflict },
      maxReady: this.#maxReady.get(queueName) ?? null,
      limits: limitsOf(task, options, this.queueLimits)
    }
  }

  #rowsOf (requests: readonly EnqueueRequest[]): NewRow[] | Promise<NewRow[]> {
    const texts = requests.map((request) => this.#codec.encodeArguments(request))
    const rowsWith = (encoded: readonly string[]): NewRow[] => requests.map(({ id, task }, index) => {
      return new TemplatedRow(this.#templates.get(task) ?? this.#templateOf(task), id, encoded[index] as string)
    })
    return texts.some((text) => typeof text !== 'string') ? Promise.all(texts).then(rowsWith) : rowsWith(texts as string[])
  }

  /** A promise only where a row that was there already has to be decoded. */
  #resultsOf (requests: readonly EnqueueRequest[], inserted: readonly InsertedRow[]): TaskResult[] | Promise<TaskResult[]> {
    const resultOf = (request: EnqueueRequest, index: number): TaskResult => this.#resultOfNew(request, inserted[index] as InsertedRow)
    if (!inserted.some(({ isDuplicate }) => isDuplicate)) return requests.map(resultOf)
    return Promise.all(requests.map(async (request, index) => {
      const { isDuplicate, row } = inserted[index] as InsertedRow
      return isDuplicate ? this.resultOf({ ...await this.decodeRow(row), isDuplicate }) : resultOf(request, index)
    }))
  }

  #resultOfNew ({ id, argsText, task: { name: taskName, queueName, priority } }: EnqueueRequest, inserted: InsertedRow): TaskResult {
    return this.resultOf(() => {
      const { enqueuedAt, runAfter } = inserted.row
      const args = decodeFrozen(argsText) as readonly unknown[]
      return newResultFields({ id, taskName, args, backend: this.alias, queueName, priority }, {
        enqueuedAt: new Date(enqueuedAt),
        runAfter: runAfter === null ? null : new Date(runAfter)
      })
    })
  }

  #announce (results: readonly TaskResult[]): void {
    const { events } = hostOf(this.app)
    if (!events.wants('onEnqueued')) return
    for (const result of results) if (!result.isDuplicate) events.emit('onEnqueued', result)
  }

  async #read (id: string): Promise<ResultFields> {
    // The ids of this backend are UUIDs: another string is in no row, and needs no query.
    const row = isId(id) ? await this.store.get(id) : null
    if (row === null || row.backend !== this.alias) throw new RESULT_NOT_FOUND(String(id).slice(0, 64))
    return await this.decodeRow(row)
  }
}

function transactionOf (alias: string, requests: readonly EnqueueRequest[]): Knex.Transaction | null {
  let found: Knex.Transaction | null | undefined
  for (const { task } of requests) {
    const { transaction } = optionsOf(task)
    if (found !== undefined && found !== transaction) throw new TRANSACTION_MISMATCH(alias, 'what is enqueued together must be in one transaction, or in none.')
    found = transaction
  }
  return found ?? null
}
