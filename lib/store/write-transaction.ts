import type { Session } from './session.js'
import type { WriteTransaction } from './store.js'
import { takeTurn } from './verbs/turn.js'

/** Begin a transaction that may write, when it is this writer's turn; the turn is kept until it ends. */
export async function begin (session: Session): Promise<WriteTransaction> {
  return await session.again('begin a transaction', async () => {
    const { transaction, answer } = await session.begin('begin a transaction')
    try {
      await takeTurn(session, session.inside(transaction))
    } catch (error) {
      await transaction.rollback()
      throw error
    }
    return {
      transaction,
      async commit () {
        await answer('commit a transaction', commit(transaction))
      },
      async rollback () {
        if (!transaction.isCompleted()) await answer('roll a transaction back', transaction.rollback() as unknown as Promise<unknown>)
      }
    }
  })
}

async function commit (transaction: WriteTransaction['transaction']): Promise<void> {
  // Knex resolves commit() even when the COMMIT failed; its executionPromise is what rejects. And PostgreSQL
  // answers the COMMIT of a spoilt transaction with a ROLLBACK, and no error.
  const answer = await transaction.commit() as { response?: { command?: string } } | undefined
  await transaction.executionPromise
  if (answer?.response?.command === 'ROLLBACK') throw new RolledBack()
}

/** A statement before the COMMIT had failed. */
class RolledBack extends Error {
  readonly code = '25P02' // in_failed_sql_transaction
}
