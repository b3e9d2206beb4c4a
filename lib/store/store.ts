import type { Knex } from 'knex'
import type { TaskResultStatus } from '../core/status.js'
import type { RateRule } from '../core/rate.js'
import type { StoreConfig } from './config.js'

/**
 * What a store of task results must do, in the verbs of the domain. `KnexStore` implements it for SQLite and
 * PostgreSQL; whatever a store promises is tested by `lib/conformance/store.ts`.
 *
 * Rules that hold for every verb:
 * - only the database's clock decides what is due, what has expired and what is old; moments are epoch milliseconds;
 * - every write after a claim is one statement guarded by the token, and says which rows it changed;
 * - a call that meets a passing fault is retried until its deadline and then throws FST_TASKS_STORE_UNAVAILABLE;
 *   a verb may therefore run twice, and must then have the effect of one;
 * - values (args, return values, progress, errors) are text that the store does not look into.
 */
export interface Store {
  readonly dialect: 'sqlite' | 'postgres'
  /** Connect, check the versions of database and tables, migrate where that is allowed. */
  open (): Promise<void>
  /** Create or upgrade the tables, under a lock that dies with its holder. Returns the names of the migrations run. */
  migrate (): Promise<string[]>
  /** Settings of the database under which an accepted task could be lost, as sentences for an operator. */
  problems (): Promise<string[]>
  /** Names of the migrations that the tables lack. */
  pending (): Promise<string[]>
  /** Let running calls end, then give up every connection, timer and watcher that the store opened. */
  close (): Promise<void>

  // --- enqueue ---
  /**
   * Store rows in one round trip, in their order. Of rows whose id is stored already, nothing is changed and the
   * stored row is returned, so that an insert whose answer was lost may be sent again.
   */
  insert (rows: readonly NewRow[], options?: { transaction?: Knex.Transaction | null }): Promise<InsertedRow[]>
  /** Rows were committed by a transaction of somebody else's: wake the workers. */
  committed (): void
  /** These results were ended by a transaction of a task's own: wake those who wait for them. */
  ended (ids: readonly string[]): Promise<void>
  /** True where the transaction belongs to the database of this store, whichever Knex instance began it. */
  owns (transaction: Knex.Transaction): Promise<boolean>
  /** True where a statement past an open write transaction of this process would have to wait for it. */
  readonly single: boolean
  /** What it was opened with; structured-cloneable where `config.knex` is absent, so that a thread can open its own. */
  readonly config: StoreConfig
  /** Open a transaction that may write, in turn with the other writers of this process. See `WriteTransaction`. */
  begin (): Promise<WriteTransaction>

  // --- read ---
  get (id: string): Promise<Row | null>
  getMany (ids: readonly string[]): Promise<Row[]>
  /** Newest first; keyset pagination by id. A page may be short though there is a `next`: what fits is rare. */
  list (filter: ListFilter): Promise<{ rows: Row[], next: string | null }>
  stats (backend: string): Promise<Stats>
  /** Cheap proof that the database answers. */
  ping (): Promise<void>
  /** Is woken when any of `ids` may have ended; a hint. Returns a function that ends the watch. */
  watch (id: string, onChange: () => void): Promise<() => Promise<void>>

  // --- control ---
  /** READY rows become CANCELLED at once, RUNNING ones are marked and their workers told. `ids` are those that it took effect on. */
  cancel (selection: Selection): Promise<{ cancelled: Row[], signalled: string[] }>
  /**
   * FAILED and CANCELLED rows become READY, due now, with their errors kept and both budgets new. A row under a unique key
   * takes it again; where another one holds it, it is left as it is.
   */
  requeue (selection: Selection): Promise<string[]>
  pause (backend: string, queue: string): Promise<void>
  resume (backend: string, queue: string): Promise<void>
  /** Delete finished rows, the oldest first, at most `limit` in one statement; not one that holds a unique key for a time. */
  prune (request: PruneRequest): Promise<Pruned>
  countPrunable (request: Omit<PruneRequest, 'limit' | 'after'>): Promise<number>

  // --- the life of a worker ---
  /** Write the worker's row with its lease. Rows that waited for one of its task names are let go by `unpark`. */
  register (worker: WorkerRow): Promise<void>
  /**
   * Hold the lease for `leaseMs` from now. `held: false`: it had run out, and everything the worker holds may be taken.
   * `claims` are the batches that the store has for this worker: one that the worker does not know is a claim whose
   * reply was lost, and must be released. `cancelled` are the ids of its running rows that are to be cancelled.
   */
  renew (worker: string, request: { leaseMs: number, running: number }): Promise<Renewal>
  /** The ids of the worker's rows that are to be cancelled; asked more often than the lease is renewed. */
  cancelled (worker: string): Promise<string[]>
  /** Take the worker's row away. What it still holds is released, uncharged. */
  deregister (worker: string): Promise<void>

  // --- the life of a claim ---
  /**
   * The lanes (queue and priority) of a backend that hold claimable rows, and when each is due. Lanes that are `known` may
   * be looked at from behind a row alone. Rows that were put back `since` that moment (by the database's clock) are told,
   * where a cursor may have passed them.
   */
  lanes (request: { backend: string, quarantined?: boolean, known?: readonly Lane[], since?: number | null }): Promise<Lanes>
  /**
   * Take up to `limit` due rows of the lanes, in the order of the contract: READY becomes RUNNING, the attempt is
   * charged, the token is (worker, claim). Nothing where the worker's lease has run out. The first `start` of the rows
   * are marked as started; see `markStarted`.
   */
  claim (request: ClaimRequest): Promise<ClaimedRow[]>
  /**
   * READY rows that have a limit (see `RowLimits`) are in no lane. These are the groups of them, and of each the first
   * due row of every priority: rows of one group share their queue and all of their limits.
   */
  limitedHeads (request: { backend: string, tasks: readonly string[], quarantined?: boolean, after: string | null }): Promise<LimitedHeads>
  /**
   * As `claim`, for the rows of groups that `limitedHeads` named, as far as their limits have room, and of lanes beside
   * them, in one order: never more than a key or a queue allows at a time, or a rate within its time, however many
   * workers claim at once. All rows are started.
   */
  claimLimited (request: LimitedClaimRequest): Promise<LimitedClaim>
  /**
   * Put due rows whose names no live worker knows out of the way of claims: the first ones of these lanes and groups, a
   * bounded number. They stay READY. Answers how many.
   */
  park (request: { backend: string, tasks: readonly string[], lanes: readonly Lane[], groups: readonly StrangeGroup[] }): Promise<number>
  /** Let rows of these names go that were parked, a bounded number; 0 when there are none left. */
  unpark (request: { backend: string, tasks: readonly string[] }): Promise<number>
  /** Put ready rows of these queues, which have limits, out of their lanes; at most a thousand a call. Answers how many. */
  limitQueues (backend: string, queues: readonly string[]): Promise<number>
  /** The first `started` rows of a claim may have been started: if the worker dies, they are charged and the others are not. */
  markStarted (token: Token, started: number): Promise<void>
  /**
   * The opposite, for a worker that is dead: of this claim no more than the first `started` rows had been started, and of
   * its later claims none.
   */
  unmarkStarted (token: Token, started: number): Promise<void>
  /** Write endings and retries, guarded by the token. Answers one entry for each that was accepted. `ended`: claims with no row left. */
  finish (worker: string, endings: readonly Ending[], ended: readonly number[]): Promise<FinishedRow[]>
  /**
   * As `finish` for one SUCCESSFUL row, inside a transaction of the task's own, with the last progress where there is any.
   * False where the token no longer holds, or the row is to be cancelled.
   */
  finishIn (transaction: Knex.Transaction, worker: string, ending: Success, progress?: string): Promise<boolean>
  /** Hand rows back uncharged, READY and due as before. Answers the ids it changed. */
  release (worker: string, rows: ReadonlyArray<{ id: string, claim: number }>, ended: readonly number[]): Promise<string[]>
  /** Hand back, uncharged, all that these claims of the worker still hold: claims whose reply was lost. Answers the ids. */
  releaseClaims (worker: string, claims: readonly number[]): Promise<string[]>
  /** Store progress, guarded by the token. False where that no longer holds. */
  progress (worker: string, row: { id: string, claim: number }, value: string): Promise<boolean>
  /**
   * Fence workers whose lease has run out and take their rows back, in guarded statements: started rows are charged
   * with a death (READY again, quarantined from the second on; FAILED when `crashBudget` is spent; CANCELLED where that
   * was asked), the others are handed back uncharged.
   */
  rescue (request: { crashBudget: number, backend: string }): Promise<Rescued>

  // --- wake-up ---
  /**
   * Call `onWake` when rows may have become claimable. A hint that may come late, double or never. Several listeners
   * share one connection or watcher. `healthy()` is false while only polling can be relied on.
   */
  listen (onWake: (event: WakeEvent) => void): Promise<Listener>
}

/** A row to be stored. Absent moments are the database's now. */
export interface NewRow {
  readonly id: string
  readonly backend: string
  readonly task: string
  readonly queue: string
  readonly priority: number
  /** Epoch ms; null for now. */
  readonly runAfter: number | null
  /** Milliseconds from the insert by the database's clock; null where runAfter says it, or for now. */
  readonly delay: number | null
  readonly args: string
  /** JSON of what `using()` changed for this row and the run needs (retry, timeout …); null for nothing. */
  readonly options: string | null
  readonly tags: readonly string[]
  readonly unique: UniqueRule | null
  /** Refuse (QUEUE_FULL) where the queue holds this many READY rows. */
  readonly maxReady: number | null
  /** Limits that a claim of the row must keep; without any (absent, null) the row is in a lane. */
  readonly limits?: RowLimits | null
}

/** Both null: it is in a queue that has limits, and has none of its own. */
export interface RowLimits {
  /** Concurrency key; null for none. */
  readonly key: string | null
  /** Rows of the key that may run at a time; under a key of 1 a waiting retry keeps the others waiting, too. */
  readonly concurrency: number
  readonly rate: Readonly<RateRule & { name: string }> | null
}

export interface UniqueRule {
  readonly key: string
  /**
   * How long the key is held: while READY (also when it is put back, unless another row has the key by then), until the
   * end, or ms from the insert. `requeue` counts as an insert.
   */
  readonly scope: 'ready' | 'unfinished' | number
  readonly onConflict: 'return' | 'replace' | 'throw'
}

export interface InsertedRow {
  /** The row that stands: the new one, or under a unique key the one that was there. It may be a getter that makes it anew. */
  readonly row: Row
  readonly isDuplicate: boolean
}

/** A stored row: the columns as values. Moments are epoch ms. */
export interface Row {
  readonly id: string
  readonly backend: string
  readonly task: string
  readonly queue: string
  readonly priority: number
  readonly status: TaskResultStatus
  readonly args: string
  readonly options: string | null
  readonly runAfter: number | null
  /** The order key: the later of runAfter and the moment of insert, retry or requeue. */
  readonly due: number
  readonly enqueuedAt: number
  readonly startedAt: number | null
  readonly lastAttemptedAt: number | null
  readonly finishedAt: number | null
  readonly attempts: number
  /** Attempts before the last requeue, which gave a new budget of retries. */
  readonly priorAttempts: number
  readonly deaths: number
  readonly workerIds: readonly string[]
  readonly errors: readonly StoredError[]
  readonly returnValue: string | null
  readonly progress: string | null
}

/** A TaskError as it is stored: `at` is epoch ms. */
export interface StoredError {
  readonly exceptionClass: string
  readonly message: string
  readonly code: string | null
  readonly traceback: string
  readonly attempt: number
  readonly at: number
}

export interface ListFilter {
  readonly backend: string
  readonly status?: TaskResultStatus
  readonly queue?: string
  readonly task?: string
  readonly tag?: string
  /** Epoch ms: enqueued or ended at that moment or later (`After`), earlier than it (`Before`). */
  readonly enqueuedAfter?: number
  readonly enqueuedBefore?: number
  readonly finishedAfter?: number
  readonly finishedBefore?: number
  /** An id: rows older than that one. */
  readonly after?: string
  readonly limit: number
}

/** One id, or every row that fits all of the filter. */
export type Selection =
  | { readonly backend: string, readonly id: string }
  | { readonly backend: string, readonly status?: TaskResultStatus, readonly queue?: string, readonly task?: string, readonly tag?: string }

export interface Stats {
  readonly queues: Record<string, QueueStats>
  /** Live ones. `quarantine`: can give a task a process of its own. */
  readonly workers: ReadonlyArray<{ id: string, lastSeen: number, running: number, quarantine: boolean }>
  /** READY rows by the names that no live worker knows. */
  readonly unknownTasks: ReadonlyArray<{ name: string, ready: number }>
  readonly approximate: boolean
}

export interface QueueStats {
  readonly ready: number
  readonly deferred: number
  readonly running: number
  readonly failed: number
  readonly oldestReadyMs: number | null
  readonly paused: boolean
}

export interface PruneRequest {
  readonly backend: string
  /** Delete rows that ended at least this long ago; null for none of them. */
  readonly minAgeMs: number | null
  /** The same for FAILED ones. */
  readonly failedMinAgeMs: number | null
  /** The same for CANCELLED ones; absent: as minAgeMs. */
  readonly cancelledMinAgeMs?: number | null
  readonly queues?: readonly string[]
  readonly limit: number
  /** Where to go on: `after` of the batch before. */
  readonly after?: string | null
}

export interface Pruned {
  readonly deleted: number
  /** For the next batch; null where nothing old is left. */
  readonly after: string | null
}

export interface WorkerRow {
  /** Random at each boot, at most 64 characters. */
  readonly id: string
  readonly backend: string
  readonly leaseMs: number
  /** Names of the tasks that it knows. */
  readonly tasks: readonly string[]
  /** True where it can give a task a process of its own. */
  readonly quarantine: boolean
}

export interface Renewal {
  readonly held: boolean
  readonly claims: readonly number[]
  readonly cancelled: readonly string[]
}

/** What fences every write after a claim: a worker id that is never used again and a number that it never uses again. */
export interface Token {
  readonly worker: string
  readonly claim: number
}

export interface Lane {
  readonly queue: string
  readonly priority: number
  /** Rows at or before this one were seen to be gone: the claim starts behind it. Null: from the start. */
  readonly after: Cursor | null
}

export interface QueueSelection {
  /** Null for all queues. */
  readonly only: readonly string[] | null
  readonly except: readonly string[]
}

/** A place in a lane. `tie` is the dialect's own (the identity column). */
export interface Cursor {
  readonly due: number
  readonly tie: number
}

export interface LaneHead {
  readonly queue: string
  readonly priority: number
  /** When its first row is due, epoch ms; later than `now` where all of it is deferred. */
  readonly due: number
  /** With `due` the place of that row; absent where claims are made from the start of a lane at no cost. */
  readonly tie?: number
  /** Its name. */
  readonly task?: string
}

export interface Lanes {
  readonly lanes: LaneHead[]
  /** Those of queues that are paused. */
  readonly paused?: LaneHead[]
  /** Where rows that had been claimed are ready again, as they were due before: the first of each lane. */
  readonly returned?: ReadonlyArray<{ queue: string, priority: number, due: number }>
  readonly now: number
  /** There are READY rows that have limits, quarantined ones where these were asked for. */
  readonly limited?: boolean
}

export interface LimitedHeads {
  /** Highest priority first, then by due. */
  readonly heads: LimitedHead[]
  readonly now: number
  /** When the next deferred row is due, epoch ms; null for none. */
  readonly nextDue: number | null
  /** Where to go on; null where all groups were seen. */
  readonly end: string | null
  /** Groups of which the first due row has a name that was not asked for. */
  readonly strange?: readonly StrangeGroup[]
}

/** Rows of one priority in a group. */
export interface StrangeGroup {
  readonly group: string
  readonly priority: number
}

/** The first due row of a group's priority. */
export interface LimitedHead {
  readonly group: string
  readonly queue: string
  readonly priority: number
  readonly due: number
  /** The dialect's own tie-break among rows that are due at one moment. */
  readonly tie: number
  readonly limits: RowLimits
  /** Rows that hold the concurrency key, how many of these are retries that are due, and the smallest limit among them. */
  readonly held: number
  readonly returning: number
  readonly least: number | null
  /** Its key has no room: nothing of it can be claimed before another row ends. */
  readonly full: boolean
}

export interface LimitedClaimRequest extends Token {
  readonly backend: string
  /** In their order, also those that are full: what shares a key with one of these may have to wait for it. */
  readonly heads: readonly LimitedHead[]
  /** Rows of these come in their turn. */
  readonly lanes?: readonly Lane[]
  readonly limit: number
  readonly tasks: readonly string[]
  readonly quarantined?: boolean
  /** Limits of queues, across all workers. */
  readonly queues: ReadonlyMap<string, ClaimLimits>
}

export interface ClaimLimits {
  readonly concurrency: number | null
  readonly rate: RateRule | null
}

export interface LimitedClaim {
  readonly rows: ClaimedRow[]
  /** Milliseconds until there may be more, for a rate or because somebody else was claiming; null where an event will say. */
  readonly nextIn: number | null
  /** An answer was lost on the way, and no row was found for it now: the store may have rows under this token all the same. */
  readonly unsure?: boolean
}

export interface ClaimRequest extends Token {
  readonly backend: string
  /** Or all lanes of these queues, found by the claim itself: one round trip for a worker that was idle. */
  readonly lanes: readonly Lane[] | QueueSelection
  readonly limit: number
  /**
   * Of named lanes: rows that any one of them gives at most; absent for no bound. A claim of many lanes need not read
   * `limit` rows of each, and ends where a lane that gave so many could have given the next.
   */
  readonly most?: number
  readonly start: number
  /** Take nothing while READY rows that have limits are stored: they may come first, and have not been looked at. */
  readonly unlessLimited?: boolean
  /** Names of the tasks that the worker knows: other rows are left alone. */
  readonly tasks: readonly string[]
  readonly quarantined?: boolean
}

/** Its fields may be getters: to spread it, or to send it to a thread, loses them. */
export interface ClaimedRow extends Row {
  readonly claim: number
  /** It has limits: its end may let others through. */
  readonly limited?: boolean
  /** It has a unique key or limits, which its end has to give back. */
  readonly keyed?: boolean
  readonly cursor: Cursor
}

/**
 * What became of an attempt. `keyed`: as the claimed row said; a hint, which saves a try. `sent`: an earlier call to write
 * it may have taken effect.
 */
export type Ending = { readonly sent?: boolean } & (
  | { readonly id: string, readonly claim: number, readonly status: 'SUCCESSFUL', readonly returnValue: string, readonly keyed?: boolean }
  | { readonly id: string, readonly claim: number, readonly status: 'FAILED' | 'CANCELLED', readonly errors: readonly StoredError[] }
  /** A retry: READY again, `delay` ms from now. Ends CANCELLED instead where that was asked meanwhile. */
  | { readonly id: string, readonly claim: number, readonly status: 'READY', readonly errors: readonly StoredError[], readonly delay: number })

export type Success = Extract<Ending, { status: 'SUCCESSFUL' }>

export interface FinishedRow {
  readonly id: string
  /** The status that was written. */
  readonly status: TaskResultStatus
  /** When it ended; for a retry, when it is due. */
  readonly at: number
  /** Of a retry. */
  readonly runAfter: number | null
  /** It has limits: its end may let others through. */
  readonly limited?: boolean
}

export interface Rescued {
  /** Workers whose lease had run out. */
  readonly workers: readonly string[]
  /** Rows that were charged with a death, as they are now. */
  readonly charged: readonly Row[]
  /** Ids handed back uncharged. */
  readonly released: readonly string[]
}

/** A hint to claim. `queue` null: any. */
export interface WakeEvent {
  readonly queue: string | null
}

export interface Listener {
  healthy (): boolean
  close (): Promise<void>
}

/** A transaction of the store's own making; on SQLite it holds the writer until it ends. */
export interface WriteTransaction {
  readonly transaction: Knex.Transaction
  /** Resolves when the commit is certain. @throws where it failed or its outcome is unknown */
  commit (): Promise<void>
  rollback (): Promise<void>
}
