import type { Knex } from 'knex'
import type { TaskResult } from '../lib/core/result.js'
import type { AnyTask, ResultOf, TaskArgs } from '../lib/core/task.js'
import type { RequestCollection } from './request-collection.js'

/** `request.tasks`: tasks that leave with the request that they belong to. */
export class RequestTasks {
  readonly #collection: RequestCollection

  /** @internal */
  constructor (collection: RequestCollection) {
    this.#collection = collection
  }

  /**
   * Collect a task. It is stored after the response, or before the reply leaves with `flushOn: 'onSend'`, and dropped
   * where the request fails (`discardOn`). What must not be lost in a crash goes through `app.tasks.enqueue`.
   *
   * @returns its result at once: the id is final, the status READY, `enqueuedAt` null; `refresh()` works once it is stored,
   * and `wait()`, which a handler should await only after `flush()`, goes on through the reply
   * @throws FST_TASKS_UNKNOWN_TASK, FST_TASKS_NOT_REGISTERED, FST_TASKS_INVALID_ARGUMENT, FST_TASKS_INVALID_TASK (also
   * for `onConflict: 'throw'` and `transaction`, which cannot wait for the reply), FST_TASKS_CLOSED
   */
  enqueue<T extends AnyTask> (task: T, ...args: TaskArgs<T>): ResultOf<T>
  enqueue (task: string, ...args: unknown[]): TaskResult
  enqueue (task: AnyTask | string, ...args: unknown[]): TaskResult {
    return this.#collection.add(task, args)
  }

  /**
   * Store what was collected now, and commit the request's transaction: for a hijacked or long reply. What is enqueued
   * afterwards is stored at once.
   * @throws FST_TASKS_FLUSH_FAILED where it could not be stored within `flushRetry`, FST_TASKS_COMMIT_FAILED
   */
  async flush (): Promise<void> {
    await this.#collection.flush()
  }

  /**
   * Open this request's transaction, or give the one that is open. What the request enqueues to its backend is stored in
   * it. It commits before the reply leaves, or rolls back where the request fails or its client is gone.
   * Needs `config: { tasks: { transaction: true } }` (or an alias) on the route.
   * @throws FST_TASKS_INVALID_CONFIG, FST_TASKS_UNSUPPORTED, FST_TASKS_STORE_UNAVAILABLE
   */
  async transaction (): Promise<Knex.Transaction> {
    return await this.#collection.transaction()
  }
}
