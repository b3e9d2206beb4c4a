// By its name: published declarations must not depend on how a consumer's compiler reads a default export.
import { createError } from '@fastify/error'

/**
 * Every error that a user of fastify-tasks can meet, in one table. The README's error table, the exported
 * `errors` object and the tests are all held to this one. Messages say what was wrong, where, and what to do;
 * they never carry arguments, return values or passwords.
 */

// Defining a task, and handing it to a backend
export const INVALID_TASK = createError<[string, string]>('FST_TASKS_INVALID_TASK', "Task '%s' is not valid: %s", 500)
export const DUPLICATE_TASK = createError<[string]>('FST_TASKS_DUPLICATE_TASK', "A task named '%s' is already registered with this app. Task names are stored, so each may be used once: rename one of the two.", 500)
export const NOT_REGISTERED = createError<[string]>('FST_TASKS_NOT_REGISTERED', "Task '%s' is not registered with an open app. Pass it in the plugin's `tasks` option or to app.tasks.add(), and await app.ready().", 500)
export const AMBIGUOUS_APP = createError<[string]>('FST_TASKS_AMBIGUOUS_APP', "Task '%s' is registered with several open apps. Say which one: app.tasks.enqueue(task, ...args).", 500)
export const UNKNOWN_TASK = createError<[string]>('FST_TASKS_UNKNOWN_TASK', "No task named '%s' is registered with this app.", 500)
export const INVALID_ARGUMENT = createError<[string, string]>('FST_TASKS_INVALID_ARGUMENT', '%s cannot be stored: %s', 400, TypeError)
export const QUEUE_FULL = createError<[string, number]>('FST_TASKS_QUEUE_FULL', "Queue '%s' holds its limit of %d ready tasks. Try again later, or raise `maxReady`.", 503)
export const NOT_UNIQUE = createError<[string, string]>('FST_TASKS_NOT_UNIQUE', "Task '%s' is already enqueued under this unique key, as result %s.", 409)
export const TRANSACTION_OPEN = createError<[]>('FST_TASKS_TRANSACTION_OPEN', 'This enqueue would wait for the transaction that is open around it. Enqueue through that transaction: task.using({ transaction: trx }).', 500)
export const TRANSACTION_MISMATCH = createError<[string, string]>('FST_TASKS_TRANSACTION_MISMATCH', "The transaction cannot carry an enqueue to backend '%s': %s", 500, TypeError)

// Reading results
export const RESULT_NOT_FOUND = createError<[string]>('FST_TASKS_RESULT_NOT_FOUND', "There is no task result '%s'. It may have been pruned, rolled back, or never stored.", 404)
export const RESULT_MISMATCH = createError<[string, string, string]>('FST_TASKS_RESULT_MISMATCH', "Result %s belongs to task '%s', not to '%s'.", 404)
export const RESULT_NOT_READY = createError<[string, string]>('FST_TASKS_RESULT_NOT_READY', 'Result %s has no return value yet: its status is %s. Call refresh() or wait().', 409)
export const RESULT_FAILED = createError<[string, string]>('FST_TASKS_RESULT_FAILED', 'Result %s has no return value: it ended %s. See `errors`.', 409)
export const RESULT_UNREADABLE = createError<[string, string]>('FST_TASKS_RESULT_UNREADABLE', "Result %s cannot be read: the backend's serializer cannot decode its %s. It was stored with another serializer or key.", 500)
export const WAIT_TIMEOUT = createError<[string, number]>('FST_TASKS_WAIT_TIMEOUT', 'Result %s did not end within %d ms.', 504)
export const INVALID_FILTER = createError<[string]>('FST_TASKS_INVALID_FILTER', 'Invalid filter: %s', 400, TypeError)

// Configuration and backends
export const INVALID_CONFIG = createError<[string, string]>('FST_TASKS_INVALID_CONFIG', '%s is not valid: %s', 500)
export const INVALID_BACKEND = createError<[string]>('FST_TASKS_INVALID_BACKEND', '%s', 500)
export const UNSUPPORTED = createError<[string, string]>('FST_TASKS_UNSUPPORTED', "Backend '%s' does not support %s.", 501)
export const DRIVER_MISSING = createError<[string, string]>('FST_TASKS_DRIVER_MISSING', 'A %s database needs its driver: npm install %s', 500)
export const DATABASE_VERSION = createError<[string]>('FST_TASKS_DATABASE_VERSION', '%s', 500)
export const MIGRATION_REQUIRED = createError<[string, string]>('FST_TASKS_MIGRATION_REQUIRED', 'The task tables are %s. Run: %s', 500)
export const SCHEMA_TOO_NEW = createError<[string, string]>('FST_TASKS_SCHEMA_TOO_NEW', 'The task tables were written by a newer version of fastify-tasks (migration %s). Upgrade to a version that has it; this one knows %s.', 500)
export const STORE_UNAVAILABLE = createError<[string, string]>('FST_TASKS_STORE_UNAVAILABLE', 'The task database could not %s: %s', 503)
export const CLOSED = createError<[string]>('FST_TASKS_CLOSED', 'Cannot %s: the app is closing or closed.', 503)
export const FLUSH_FAILED = createError<[number, string]>('FST_TASKS_FLUSH_FAILED', 'The %d tasks of this request could not be stored: %s.', 503)
export const COMMIT_FAILED = createError<[string]>('FST_TASKS_COMMIT_FAILED', "This request's transaction could not be committed: %s.", 503)

// What ends an attempt or aborts its signal
export const TIMEOUT = createError<[string, number]>('FST_TASKS_TIMEOUT', "Task '%s' did not end within its timeout of %d ms.", 500)
export const CANCELLED = createError<[string]>('FST_TASKS_CANCELLED', 'Result %s was cancelled.', 500)
export const SHUTDOWN = createError<[]>('FST_TASKS_SHUTDOWN', 'The worker is stopping; the task is handed back and will run again.', 503)
export const CLAIM_LOST = createError<[string]>('FST_TASKS_CLAIM_LOST', 'Result %s is no longer held by this worker. Its write was refused and changed nothing.', 500)
export const LEASE_LOST = createError<[]>('FST_TASKS_LEASE_LOST', "The worker's lease ran out; another worker may run its tasks.", 500)
export const WORKER_LOST = createError<[string]>('FST_TASKS_WORKER_LOST', 'Worker %s died while it ran this task.', 500)
export const PROCESS_EXIT = createError<[string]>('FST_TASKS_PROCESS_EXIT', 'The task called process.exit(%s). Return or throw instead.', 500)
export const INVALID_RESULT = createError<[string]>('FST_TASKS_INVALID_RESULT', 'The return value cannot be stored: %s', 500, TypeError)
export const INVALID_SCHEMA = createError<[string, string]>('FST_TASKS_INVALID_SCHEMA', "The arguments of task '%s' do not match its schema: %s", 400)
export const ATTEMPT_ENDED = createError<[string]>('FST_TASKS_ATTEMPT_ENDED', 'Cannot %s: this attempt has ended.', 500)

// The worker and the command line
export const INVALID_OPTION = createError<[string, string]>('FST_TASKS_INVALID_OPTION', '%s is not valid: %s', 500, TypeError)
export const WORKER_RUNNING = createError<[]>('FST_TASKS_WORKER_RUNNING', 'This worker has been started already. Make another with createWorker().', 500)

/** Throw it, or a subclass, from a task that must not be retried: the result is FAILED whatever `retry` says. */
export class FatalTaskError extends Error {
  readonly code: string = 'FST_TASKS_FATAL'

  constructor (message?: string, options?: ErrorOptions) {
    super(message ?? 'The task failed for good.', options)
    this.name = 'FatalTaskError'
  }
}
