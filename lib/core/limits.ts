/**
 * Every default and every hard limit, with its unit in its name and its reason beside it. The README's tables are
 * tested against these values.
 */

// Names and numbers that are stored
export const TASK_NAME_PATTERN = /^[\w.:-]{1,128}$/ // letters of ASCII only: the name is an identity, also in SQL and logs
export const QUEUE_NAME_PATTERN = /^[\w.:-]{1,128}$/
export const ALIAS_PATTERN = /^[\w.:-]{1,64}$/
export const WORKER_LABEL_PATTERN = /^[\w.:-]{1,40}$/ // leaves room for the random part in a 64-character id
export const KEY_LENGTH_MAX = 512 // characters of a unique or concurrency key, or a tag
export const TAGS_MAX = 20 // tags a result
export const LIMITED_GROUPS_MAX = 500 // groups of limited rows that one look considers; the next look goes on behind them
export const RATE_STAMPS_MAX = 200 // moments that a rate limit remembers: a start may count for up to a 200th of its time too long
export const CONCURRENCY_LIMIT_MAX = 2 ** 31 - 1 // of a key: what a column of PostgreSQL's int holds
export const RATE_MARGIN_MS = 50 // a start counts so much longer than its time, at most, because an attempt begins a moment after its claim
export const RATE_MARGIN_SHARE = 0.05 // of the time, where that is less
export const RATE_AHEAD_MAX_MS = 2_000 // a start that is slow to come is counted ahead of the database's clock, by so much at most
export const BATCH_RATE_WAIT_MS = 5_000 // a batch waits this long for a rate limit to let the next one through
export const LIMIT_BUSY_MS = 10 // after which a limit that another worker was deciding about is looked at again
export const PRIORITY_MIN = -100 // DEP 14
export const PRIORITY_MAX = 100 // DEP 14
export const DURATION_MAX_MS = 100 * 365.25 * 24 * 3_600_000 // a hundred years: longer is a mistake in the unit

// Data
export const ARGUMENT_BYTES_MAX = 256 * 1024 // UTF-8 bytes of the encoded arguments: pass ids, not documents
export const RESULT_BYTES_MAX = 256 * 1024 // UTF-8 bytes of the encoded return value
export const DEPTH_MAX = 64 // nested arrays and objects in one value; far below where JSON.stringify overflows
export const ERROR_MESSAGE_LENGTH_MAX = 4 * 1024 // characters
export const ERROR_TRACEBACK_LENGTH_MAX = 16 * 1024 // characters
export const ERROR_CLASS_LENGTH_MAX = 128 // characters
export const ERRORS_MAX = 50 // errors kept of one result, the newest
export const WORKER_IDS_MAX = 50 // worker ids kept of one result, the newest
export const IMMEDIATE_RESULTS_MAX = 1_000 // finished results that the Immediate backend remembers

// Tasks
export const RETRY_DELAY_MS = 1_000
export const RETRY_FACTOR = 2
export const RETRY_MAX_DELAY_MS = 3_600_000 // one hour
export const RETRY_JITTER = 0.2 // share of the delay by which it is spread, so that failures do not come back together
export const RETRY_LIMIT_MAX = 1_000
export const ISOLATION_MEMORY_MB = 512 // heap of a thread that an isolated task runs in
export const ISOLATION_MEMORY_MIN_MB = 16 // a smaller heap does not hold Node.js itself
export const ISOLATION_IDLE_MS = 10_000 // after which a thread without work ends
export const TIMEOUT_GRACE_MS = 5_000 // what an aborted attempt gets to settle
export const CRASH_BUDGET = 3 // deaths of the process after which a task is not tried again
export const QUARANTINE_DEATHS = 2 // deaths after which a task runs in a process of its own

// Enqueueing and reading
export const INSERT_BYTES_MAX = 8 * 1024 * 1024 // of arguments in one INSERT shared by several enqueues
export const FLUSH_RETRY_MS = 10_000 // how long a flush of request.tasks is retried
export const CLIENT_GONE_GRACE_MS = 5_000 // how long a handler that has to call reply.send() may take, once its client is gone
export const CLOSE_GRACE_MS = 5_000 // how long app.close() waits for handlers whose clients are gone
export const WAIT_TIMEOUT_MS = 30_000 // result.wait()
export const WAIT_POLL_MS = 1_000 // the rule behind the wake-up of wait()
export const LIST_LIMIT = 50
export const LIST_LIMIT_MAX = 1_000
export const LIST_ROWS_MAX = 250_000 // rows that one call of list() looks at; what it has not found by then is on a later page
export const LIST_CHUNKS: readonly number[] = Object.freeze([1_000, 10_000, 40_000]) // rows that its first statements look at, and all later ones
export const LIST_SMALL_ROWS_MAX = 10_000 // as many rows are sorted, or looked up one by one, without a second thought
export const LIST_SKEW_ROWS_MAX = 20_000 // rows beyond a moment that are looked at for hosts whose clocks are off
export const STATS_EXACT_ROWS_MAX = 10_000 // rows counted exactly by stats() before it estimates
export const SAMPLE_PAGES = 2_000 // pages of PostgreSQL (16 MiB) that an estimate looks at
export const INSERT_ROWS_MAX = 1_000 // rows of one INSERT; more are split
export const HOOK_TIMEOUT_MS = 10_000 // after which a hook that has not returned is logged

// Workers
export const CONCURRENCY = 10
export const INTERVAL_MS = 1_000 // poll, when nothing wakes the worker
export const LEASE_MS = 30_000 // how long a silent worker keeps its claims
export const SWEEP_MS = 5_000 // how often dead workers are looked for
export const SHUTDOWN_GRACE_MS = 30_000
export const CANCEL_POLL_MS = 500 // so that a running task hears of its cancellation within a second
export const LANES_FRESH_MS = 100 // how long a busy worker goes by the lanes that it has seen: a higher priority waits so long at most
export const LANES_FRESH_FACTOR = 20 // and so many times as long as the look took, so that looking takes 5% of the time
export const LANES_FRESH_MAX_MS = 2_000 // but no longer than this
export const LOOK_BEHIND_FACTOR = 50 // a look behind the cursors is made again after so many times what it took: a fiftieth of the time at most
export const PARK_ROWS_MAX = 1_000 // rows of names that no worker knows which are put out of the way, or back, in one statement
export const LIMIT_ROWS_MAX = 1_000 // rows stored before their queue had a limit which are put behind it by one look
export const PARK_AGAIN_MS = 1_000 // after which rows of names that only other workers know are looked at again
export const RETURNED_KEPT_MS = 3_600_000 // how long it is known where rows were put back; a worker that has not looked for longer begins anew
export const BUFFER_ROWS_MAX = 1_500 // claimed ahead of what runs; twice as many endings may wait to be written
export const BUFFER_ROWS_IN_TURN_MAX = 1_000 // the same where one writes at a time: more is not faster there, and takes 10 MB
export const BUFFER_AHEAD_MS = 20 // no more is claimed ahead than would start within this time
export const BUFFER_HOLD_MS = 250 // what is buffered and has not started within this time is handed back: others may be idle
export const MARK_EXACT_MS = 1 // where attempts take this long, a row is marked as started only when it starts
export const MARK_AHEAD_MS = 4 // where they are shorter, no further ahead than would start within this time
export const FINISH_ROWS_MAX = 1_000 // endings written in one statement
export const CONCURRENCY_MAX = 10_000 // attempts at a time in a process
export const PROCESSES_MAX = 256
export const LEASE_MIN_MS = 100 // a shorter one would run out between two renewals on a busy machine
export const MAX_BLOCK_SHARE = 2 / 3 // of the lease: the default of maxBlock
export const OUTAGE_BACKOFF_MIN_MS = 100 // between two tries of a worker whose database is away; doubles
export const OUTAGE_BACKOFF_MAX_MS = 5_000
export const RESTART_BACKOFF_MIN_MS = 100 // before a worker process that died is replaced; doubles
export const RESTART_BACKOFF_MAX_MS = 30_000
export const RESTART_HEALTHY_MS = 60_000 // a process that lived this long, or finished a task, starts the back-off anew
export const MEMORY_SHARE = 0.6 // of the memory of the container or host, shared by the worker processes: above it one is replaced
export const MEMORY_MIN_MB = 256 // but no process for being smaller than this, unless --max-memory says so
export const MEMORY_KILL_FACTOR = 1.25 // times the limit: a process that grows on to this is killed, before the kernel chooses whom
export const MEMORY_LOOK_MS = 1_000 // how often the size of a worker process is looked at
export const MEMORY_REST_MS = 5_000 // the same while it holds nothing
export const BOOT_SIZE_FACTOR = 1.25 // of what the app needs to boot: a lower limit is raised to it

// Stopping
export const CLOSE_HOOKS_MS = 2_000 // how long app.close() waits for hooks of tasks that have not returned
export const LAST_WRITES_MS = 10_000 // what a stopping worker tries to write its last endings for, or the grace where that is longer
export const LAST_WRITES_HURRY_MS = 2_000 // the same after a second signal
export const HEIR_MS = 15_000 // what settling what dead processes held may take when the supervisor ends
export const HEIR_BOOTS = 3 // times as long as the app took to boot, where that is longer
export const HEIR_HURRY_MS = 10_000 // the same after a second signal: a busy machine needs seconds to boot it
export const HEIR_HURRY_BOOTS = 2

// Keeping house
export const PRUNE_MIN_AGE_MS = 14 * 24 * 3_600_000
export const PRUNE_FAILED_MIN_AGE_MS = 30 * 24 * 3_600_000
export const PRUNE_INTERVAL_MS = 10 * 60_000
export const PRUNE_LOOK_ROWS = 10_000 // rows that one statement looks at: what is kept may be most of them
export const PRUNE_ROWS_MAX = 1_000 // rows of one DELETE, so that no lock is held for long

// What `fastify-tasks doctor` calls suspicious
export const DOCTOR_OLDEST_READY_MS = 5 * 60_000 // work that has waited this long while a worker is alive
export const DOCTOR_OLDEST_TRANSACTION_MS = 3_600_000 // an open transaction this old keeps vacuum away
export const DOCTOR_LISTENER_MS = 5_000 // what the wake-up connection gets to prove itself

// Databases
export const TABLE_PREFIX = 'tasks_'
export const SQLITE_BUSY_TIMEOUT_MS = 5_000
export const SQLITE_VERSION_MIN = '3.51.3' // earlier ones can corrupt a WAL with several connections
export const POSTGRES_VERSION_MIN = 14
export const CALL_TIMEOUT_MS = 15_000 // what a call may take in all: waiting for a connection, its statements, further tries
export const KEEPER_CALL_MIN_MS = 1_000 // a keeper's calls get a sixth of the lease, and no less than this
export const MIGRATE_TIMEOUT_MS = 10 * 60_000 // the same for a migration, which may have much to rewrite, or another's to wait for
export const PROGRESS_WAIT_MS = 1_000 // what an ending waits for progress that was reported before it
export const TRANSACTION_IDLE_MS = 1_000 // after which PostgreSQL ends a short transaction of ours whose process stands still: others wait for what it has locked
export const COMMIT_IDLE_MS = 60_000 // well above what a neighbour may block the loop for; after which PostgreSQL ends a task's own transaction that has written the end and is not committed: its process stands still
export const CALL_RETRY_MS = 5_000 // how long a call that meets passing faults is tried again; part of its time
export const NOTIFY_INTERVAL_MS = 10 // NOTIFY takes a lock at commit: no process sends more than one in this time
export const HINT_QUIET_MS = 25 // after which an insert takes its NOTIFY along: it holds that lock for the sync of its commit
export const HINT_REST = 10 // times as long as the last such insert took: one process holds the lock for a tenth of the time at most
export const HINT_REFUSED_MS = 60_000 // the same where the server has refused it, as it does while its queue of notifications is full
export const TOUCH_INTERVAL_MS = 10 // SQLite: how often a process that stores rows touches the file that workers watch
export const LISTEN_HEARTBEAT_MS = 10_000 // how often the LISTEN connection is proved alive
export const LISTEN_CLOSE_MS = 1_000 // what the LISTEN connection gets to take its leave
export const LISTEN_RECONNECT_MAX_MS = 10_000
export const WAIT_ROW_MS = 3_600_000 // after which the mark of a waiter that never came back is dropped
