import type { Knex } from 'knex'
import type {
  ClaimedRow, ClaimRequest, Ending, FinishedRow, InsertedRow, Lanes, LimitedClaim, LimitedClaimRequest, LimitedHeads, ListFilter,
  Listener, NewRow, Pruned, PruneRequest, Renewal,
  Rescued, Row, Selection, Stats, Store, Success, Token, WakeEvent, WorkerRow, WriteTransaction
} from './store.js'
import { STORE_UNAVAILABLE } from '../core/errors.js'
import type { StoreConfig } from './config.js'
import type { Clock } from '../core/clock.js'
import { connect, type Connections } from './connections.js'
import { sqlite } from './dialects/sqlite.js'
import { migrate, pendingMigrations, refusePending } from './migrations/migrate.js'
import { ownsTransaction } from './ownership.js'
import { defining, forgetting } from './procedures.js'
import { Session } from './session.js'
import { tableNames, type Tables } from './tables.js'
import { begin } from './write-transaction.js'
import { inspect, type Inspection } from './inspection.js'
import * as cancels from './verbs/cancels.js'
import * as claims from './verbs/claim.js'
import * as control from './verbs/control.js'
import * as endings from './verbs/finish.js'
import * as inserts from './verbs/insert.js'
import * as laneVerbs from './verbs/lanes.js'
import * as limitedClaims from './verbs/limited-claim.js'
import * as limited from './verbs/limited-heads.js'
import { limitQueues } from './verbs/limited-queues.js'
import { list } from './verbs/list.js'
import { park, unpark, type ParkRequest } from './verbs/park.js'
import * as pruning from './verbs/prune.js'
import * as reads from './verbs/read.js'
import * as releases from './verbs/release.js'
import { PROCEDURES } from './verbs/procedures.js'
import { requeue } from './verbs/requeue.js'
import * as rescues from './verbs/rescue.js'
import { stats } from './verbs/stats.js'
import { SteppedClock } from './verbs/stepped-clock.js'
import { notifyEnded } from './verbs/waits.js'
import * as workers from './verbs/worker.js'
import { PostgresWake } from './wake/postgres.js'
import { SqliteWake } from './wake/sqlite.js'
import type { Wake } from './wake/wake.js'

/**
 * A store on a database of one's own or on a Knex instance of the app. Nothing is connected before `open()`.
 * @throws FST_TASKS_INVALID_CONFIG, FST_TASKS_DRIVER_MISSING
 */
export function openStore (config: StoreConfig): KnexStore {
  return new KnexStore(config)
}

/** The store of task results on SQLite and PostgreSQL: the verbs of the contract, each in a file of its own. */
export class KnexStore implements Store {
  readonly config: StoreConfig
  readonly #connections: Connections
  readonly #tables: Tables
  readonly #session: Session
  readonly #wake: Wake
  /** Where the database's clock is the host's, which may be set back. */
  readonly #clock: SteppedClock | null

  constructor (config: StoreConfig) {
    this.config = config
    this.#tables = tableNames(config.schema, config.tablePrefix)
    this.#connections = connect(config, { begin: defining(this.#tables, sqlite, PROCEDURES), end: forgetting(this.#tables, PROCEDURES) })
    const { dialect, writer, file } = this.#connections
    this.#session = new Session(this.#connections, dialect, this.#tables)
    this.#clock = dialect.singleWriter ? new SteppedClock(this.#session) : null
    this.#wake = dialect.name === 'postgres'
      ? new PostgresWake(this.#session, writer, config.listen ?? true)
      : new SqliteWake(file)
  }

  get dialect (): 'sqlite' | 'postgres' { return this.#connections.dialect.name }
  get single (): boolean { return this.#connections.single }

  /** For tests: the time by which tasks are due is the database's plus the clock's offset. Leases go by the database's. */
  useClock (clock: Clock): void {
    this.#session.useClock(clock)
  }

  async open (): Promise<void> {
    const { dialect, reader, writer } = this.#connections
    await dialect.checkVersion(async (sql) => (await this.#session.write('be opened', sql)).rows)
    if (reader !== writer) await dialect.checkVersion(async (sql) => await this.#session.read('be opened', sql))
    const pending = await this.pending()
    if (pending.length === 0) return
    if (this.config.migrate === false) refusePending(pending)
    await this.migrate()
  }

  async migrate (): Promise<string[]> {
    return await migrate(this.#session, this.#connections, this.#tables)
  }

  /** Names of the migrations that the tables lack. */
  async pending (): Promise<string[]> {
    return await pendingMigrations(async (sql, bindings) => await this.#session.read('read the state of the task tables', sql, bindings), this.#connections, this.#tables)
  }

  /** Settings of the database under which an accepted task could be lost, as sentences for an operator. */
  async problems (): Promise<string[]> {
    const { settings } = await this.inspect()
    return settings.flatMap(({ name, value, problem }) => problem === null ? [] : [`${name} is ${value}: ${problem}.`])
  }

  /** What an operator wants to know of the database. */
  async inspect (): Promise<Inspection> {
    return await inspect(this.#connections, this.#session)
  }

  async close (): Promise<void> {
    await this.#wake.close()
    await this.#connections.close()
  }

  async insert (rows: readonly NewRow[], options: { transaction?: Knex.Transaction | null } = {}): Promise<InsertedRow[]> {
    if (rows.length === 0) return []
    const transaction = options.transaction ?? null
    if (transaction !== null) return await inserts.insert(this.#session, rows, transaction)
    const hint = this.#wake.hint()
    const inserted = await inserts.insert(this.#session, rows, null, hint)
    this.#wake.stored(hint)
    return inserted
  }

  committed (): void { this.#wake.stored() }

  async owns (transaction: Knex.Transaction): Promise<boolean> { return await ownsTransaction(this.#session, this.#connections, transaction) }

  async begin (): Promise<WriteTransaction> {
    return await begin(this.#session)
  }

  async get (id: string): Promise<Row | null> { return await reads.get(this.#session, id) }
  async getMany (ids: readonly string[]): Promise<Row[]> { return await reads.getMany(this.#session, ids) }
  async list (filter: ListFilter): Promise<{ rows: Row[], next: string | null }> { return await list(this.#session, filter) }
  async stats (backend: string): Promise<Stats> { return await stats(this.#session, backend) }
  async ping (): Promise<void> {
    // SQLite is read by connections of our own, and written by the app's Knex instance where there is one.
    if (this.#connections.writer.client.pool === undefined) throw new STORE_UNAVAILABLE('be reached', 'the pool of its Knex instance was destroyed')
    await this.#session.read('be reached', 'SELECT 1')
  }

  async watch (id: string, onChange: () => void): Promise<() => Promise<void>> { return await this.#wake.onEnded(id, onChange) }

  async cancel (selection: Selection): Promise<{ cancelled: Row[], signalled: string[] }> {
    const outcome = await control.cancel(this.#session, selection)
    await this.ended(outcome.cancelled.map(({ id }) => id))
    if (outcome.cancelled.length > 0) this.#wake.stored() // a retry that waited may have held a concurrency key
    return outcome
  }

  async requeue (selection: Selection): Promise<string[]> {
    const ids = await requeue(this.#session, selection)
    if (ids.length > 0) this.#wake.stored()
    return ids
  }

  async pause (backend: string, queue: string): Promise<void> { await control.setPaused(this.#session, backend, queue, true) }

  async resume (backend: string, queue: string): Promise<void> {
    await control.setPaused(this.#session, backend, queue, false)
    this.#wake.stored()
  }

  async prune (request: PruneRequest): Promise<Pruned> { return await pruning.prune(this.#session, request) }
  async countPrunable (request: Omit<PruneRequest, 'limit' | 'after'>): Promise<number> { return await pruning.countPrunable(this.#session, request) }

  async register (worker: WorkerRow): Promise<void> { await workers.register(this.#session, worker) }

  async renew (worker: string, { leaseMs, running }: { leaseMs: number, running: number }): Promise<Renewal> {
    return await workers.renew(this.#session, worker, leaseMs, running)
  }

  async cancelled (worker: string): Promise<string[]> { return await cancels.cancelled(this.#session, worker) }

  async deregister (worker: string): Promise<void> {
    const released = await workers.deregister(this.#session, worker)
    if (released.length > 0) this.#wake.stored()
  }

  async lanes (request: laneVerbs.LanesRequest): Promise<Lanes> { return await laneVerbs.lanes(this.#session, request) }

  async claim (request: ClaimRequest): Promise<ClaimedRow[]> { return await claims.claim(this.#session, request) }
  async limitedHeads (request: { backend: string, tasks: readonly string[], quarantined?: boolean, after: string | null }): Promise<LimitedHeads> {
    return await limited.limitedHeads(this.#session, request)
  }

  async claimLimited (request: LimitedClaimRequest): Promise<LimitedClaim> { return await limitedClaims.claimLimited(this.#session, request) }
  async park (request: ParkRequest): Promise<number> { return await park(this.#session, request) }

  async unpark ({ backend, tasks }: { backend: string, tasks: readonly string[] }): Promise<number> {
    const found = await unpark(this.#session, backend, tasks)
    if (found > 0) this.#wake.stored()
    return found
  }

  async limitQueues (backend: string, queues: readonly string[]): Promise<number> { return await limitQueues(this.#session, backend, queues) }

  async markStarted (token: Token, started: number): Promise<void> { await workers.markStarted(this.#session, token, started) }

  async unmarkStarted (token: Token, started: number): Promise<void> { await workers.unmarkStarted(this.#session, token, started) }

  async finish (worker: string, rows: readonly Ending[], ended: readonly number[]): Promise<FinishedRow[]> {
    const finished = await endings.finish(this.#session, worker, rows, ended)
    this.#wake.ended()
    // A retry without delay is due at once, for whichever worker is free; so may be what a limit held back.
    if (finished.some(({ limited }) => limited) || rows.some(({ status }) => status === 'READY')) this.#wake.stored()
    return finished
  }

  async finishIn (transaction: Knex.Transaction, worker: string, ending: Success, progress?: string): Promise<boolean> {
    return await this.#session.within('finish the task', transaction, async (run) => await endings.finishIn(this.#session, run, worker, ending, progress ?? null))
  }

  async release (worker: string, rows: ReadonlyArray<{ id: string, claim: number }>, ended: readonly number[]): Promise<string[]> {
    const released = await releases.release(this.#session, worker, rows, ended)
    if (released.length > 0) this.#wake.stored()
    return released
  }

  async releaseClaims (worker: string, batches: readonly number[]): Promise<string[]> {
    const { value: released } = await this.#session.transact('hand claims back', async (run) => await releases.releaseClaims(this.#session, run, worker, batches))
    if (released.length > 0) this.#wake.stored()
    return released
  }

  async progress (worker: string, row: { id: string, claim: number }, value: string): Promise<boolean> {
    return await workers.progress(this.#session, worker, row, value)
  }

  async rescue ({ backend, crashBudget }: { crashBudget: number, backend: string }): Promise<Rescued> {
    const rescued = await rescues.rescue(this.#session, backend, crashBudget)
    const early = this.#clock !== null && await this.#clock.settle(backend) > 0
    if (early || rescued.charged.length + rescued.released.length > 0) this.#wake.stored()
    await this.ended(rescued.charged.filter(({ status }) => status !== 'READY').map(({ id }) => id))
    return rescued
  }

  async listen (onWake: (event: WakeEvent) => void): Promise<Listener> { return await this.#wake.onReady(onWake) }

  async ended (ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    this.#wake.ended()
    await notifyEnded(this.#session, ids)
  }
}
