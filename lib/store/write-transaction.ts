import type { WriteTransaction } from './store.js'
import type { Connections } from './connections.js'
import type { Tables } from './tables.js'

/** Begin a transaction that may write, when it is this writer's turn; the turn is kept until it ends. */
export async function begin (connections: Connections, tables: Tables): Promise<WriteTransaction> {
  const { dialect, writer } = connections
  const leave = await connections.enter()
  try {
    const transaction = await writer.transaction()
    // Settles however it ends, also by a commit or rollback of the caller's own.
    transaction.executionPromise.then(leave, leave)
    try {
      const first = dialect.beginWrite(tables.meta)
      if (first !== '') await transaction.raw(first)
    } catch (error) {
      await transaction.rollback()
      throw error
    }
    return {
      transaction,
      async commit () {
        // Knex resolves commit() even when the COMMIT failed; its executionPromise is what rejects. And PostgreSQL
        // answers the COMMIT of a spoilt transaction with a ROLLBACK, and no error.
        const answer = await transaction.commit() as { response?: { command?: string } } | undefined
        await transaction.executionPromise
        if (answer?.response?.command === 'ROLLBACK') throw new Error('the transaction had failed and was rolled back')
      },
      async rollback () {
        if (!transaction.isCompleted()) await transaction.rollback()
      }
    }
  } catch (error) {
    leave()
    throw error
  }
}
