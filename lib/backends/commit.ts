import type { Knex } from 'knex'

const known = new WeakMap<Knex.Transaction, Promise<boolean>>()

/**
 * True once this transaction, and those that it is nested in, have really been committed; false after a rollback or a
 * commit that failed. Pending for as long as it is open. Never rejects.
 *
 * Knex does not say it: `executionPromise` resolves after a rollback as well, `trx.commit()` resolves when the COMMIT
 * failed, and PostgreSQL answers the COMMIT of a broken transaction with a ROLLBACK and no error. So the call of
 * `commit` is watched, and its answer read.
 */
export function committed (transaction: Knex.Transaction): Promise<boolean> {
  const promise = known.get(transaction) ?? observe(transaction)
  known.set(transaction, promise)
  return promise
}

async function observe (transaction: Knex.Transaction): Promise<boolean> {
  let commit: Promise<unknown> | undefined
  const original = transaction.commit
  transaction.commit = (value?: any) => {
    const answer = original.call(transaction, value)
    commit ??= Promise.resolve(answer)
    return answer
  }
  const { parentTransaction: parent } = transaction
  const outer = parent === undefined ? true : committed(parent) // watched from now on: it may end in the same breath
  try {
    await transaction.executionPromise
    return isCommit(await commit) && await outer
  } catch {
    return false
  }
}

/** A rolled back transaction made no call; a failed one has no answer; PostgreSQL's carries the command that it was. */
function isCommit (answer: unknown): boolean {
  if (typeof answer !== 'object' || answer === null) return false
  return (answer as { response?: { command?: string } }).response?.command !== 'ROLLBACK'
}
