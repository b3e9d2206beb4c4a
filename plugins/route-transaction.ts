import type { Knex } from 'knex'
import type { BaseTaskBackend, EnqueueRequest } from '../lib/backends/base.js'
import { COMMIT_FAILED, UNSUPPORTED } from '../lib/core/errors.js'
import type { TaskResult } from '../lib/core/result.js'
import type { TransactionScope } from '../lib/run/open-transaction.js'
import type { WriteTransaction } from '../lib/store/store.js'
import { flushFailed, NOTHING, outcomeOf } from './flush.js'

/** What a backend must have for a route's `transaction`. */
interface TransactionalBackend {
  begin (): Promise<WriteTransaction>
  enqueueIn (transaction: Knex.Transaction, requests: readonly EnqueueRequest[]): Promise<TaskResult[]>
}

/** The transaction of one request: opened by its handler, ended by us. */
export class RouteTransaction {
  readonly backend: BaseTaskBackend<any>
  readonly #write: WriteTransaction
  readonly #scope: TransactionScope

  /** @throws FST_TASKS_UNSUPPORTED, FST_TASKS_STORE_UNAVAILABLE */
  static async open (backend: BaseTaskBackend<any>, scope: TransactionScope): Promise<RouteTransaction> {
    const { begin } = backend as Partial<TransactionalBackend>
    if (begin === undefined) throw new UNSUPPORTED(backend.alias, 'the transaction of a route')
    return new RouteTransaction(backend, await begin.call(backend), scope)
  }

  private constructor (backend: BaseTaskBackend<any>, write: WriteTransaction, scope: TransactionScope) {
    this.backend = backend
    this.#write = write
    this.#scope = scope
    scope.open = { transaction: write.transaction, keys: new Set() }
  }

  get transaction (): Knex.Transaction {
    return this.#write.transaction
  }

  /** True where the handler has ended it by itself. */
  get isCompleted (): boolean {
    return this.#write.transaction.isCompleted()
  }

  /**
   * Store the requests in it and commit.
   * @throws FST_TASKS_FLUSH_FAILED where they could not be stored, and everything is rolled back; FST_TASKS_COMMIT_FAILED
   */
  async commit (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    let results: TaskResult[] = []
    try {
      const backend = this.backend as unknown as TransactionalBackend
      if (requests.length > 0) results = await backend.enqueueIn(this.transaction, requests)
    } catch (error) {
      await this.rollback()
      throw flushFailed(requests.length, error as Error, NOTHING) // the COMMIT was not sent
    }
    try {
      await this.#write.commit()
      return results
    } catch (cause) {
      if (await this.#isCommitted(cause, results)) return results
      throw new (COMMIT_FAILED as unknown as new (outcome: string, options: ErrorOptions) => Error)(outcomeOf(cause), { cause })
    } finally {
      this.#scope.open = null
    }
  }

  /** Where the answer was lost: one row that stands says that all of it does. One that does not may still come. */
  async #isCommitted (cause: unknown, results: readonly TaskResult[]): Promise<boolean> {
    const [stored] = results.filter(({ isDuplicate }) => !isDuplicate)
    if ((cause as { unsure?: unknown }).unsure !== true || stored === undefined) return false
    return await this.backend.getResult(stored.id).then(() => true, () => false)
  }

  /** Never rejects: what cannot be rolled back was not committed, and ends with its connection. */
  async rollback (): Promise<void> {
    await this.#write.rollback().catch(() => {})
    this.#scope.open = null
  }
}
