import { AsyncLocalStorage } from 'node:async_hooks'
import type { Knex } from 'knex'

/** A transaction of ours that is open around the code that runs now. */
export interface OpenTransaction {
  readonly transaction: Knex.Transaction
  /** Unique keys that were enqueued through it, see {@link uniqueKeyOf}: who enqueues one past it waits for its end. */
  readonly keys: Set<string>
  /** The newest progress of the attempt, encoded: it is written with the end. */
  progress?: string
}

/** Entered before the transaction is opened, because code that runs later shares the scope and not the moment. */
export interface TransactionScope {
  open: OpenTransaction | null
}

/**
 * Which transaction of ours the running code is inside of: a route's (`request.tasks.transaction()`) or an attempt's
 * (`context.transaction()`). A database backend asks it, to refuse an enqueue that would wait for its own caller.
 */
export const openTransaction = new AsyncLocalStorage<TransactionScope>()

export function uniqueKeyOf (taskName: string, key: string): string {
  return `${taskName} ${key}` // task names hold no space
}
