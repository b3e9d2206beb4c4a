import type { Knex } from 'knex'
import type { ClaimedRow, Store } from '../store/store.js'
import { CLAIM_LOST } from '../core/errors.js'
import { openTransaction, type OpenTransaction, type TransactionScope } from '../run/open-transaction.js'

/**
 * What `context.transaction()` does for a claimed row: the task's own writes and its success in one transaction, fenced
 * by the token.
 * @throws FST_TASKS_CLAIM_LOST; what `fn` threw; FST_TASKS_STORE_UNAVAILABLE where the commit failed or nobody can say
 */
export async function commitWith<T> (store: Store, worker: string, row: ClaimedRow, fn: (trx: Knex.Transaction) => Promise<T>, encode: (value: T) => Promise<string>): Promise<T> {
  const scope: TransactionScope = { open: null }
  return await openTransaction.run(scope, async () => {
    const write = await store.begin()
    const open: OpenTransaction = scope.open = { transaction: write.transaction, keys: new Set() }
    let committing = false
    let value: T | undefined
    try {
      value = await fn(write.transaction)
      const returnValue = await encode(value)
      const held = await store.finishIn(write.transaction, worker, { id: row.id, claim: row.claim, status: 'SUCCESSFUL', returnValue }, open.progress)
      if (!held) throw new CLAIM_LOST(row.id)
      committing = true
      await write.commit()
      if (row.limited === true) store.committed() // its limits may have room now
      void store.ended([row.id])
      return value
    } catch (error) {
      if (!committing) await write.rollback().catch(() => {}) // a lost connection has rolled back by itself
      else if (await isCommitted(store, worker, row)) return value as T
      throw error
    } finally {
      scope.open = null
    }
  })
}

/** A commit whose answer was lost may have taken effect: the row says so. */
async function isCommitted (store: Store, worker: string, row: ClaimedRow): Promise<boolean> {
  const stored = await store.get(row.id).catch(() => null)
  return stored !== null && stored.status === 'SUCCESSFUL' && stored.attempts === row.attempts && stored.workerIds.at(-1) === worker
}
