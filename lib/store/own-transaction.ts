import type { Dialect } from './dialects/dialect.js'
import type { Run } from './session.js'
import type { PooledConnection } from './pooled.js'
import type { Wire } from './wire.js'

/** Statements on one connection of our own, from BEGIN to COMMIT; rolled back where the function throws. */
export async function ownTransaction<T> (wire: Wire, dialect: Dialect, connection: PooledConnection, fn: (run: Run) => Promise<T>): Promise<T> {
  const send = async (sql: string): Promise<unknown> => await wire.send(connection, sql, [], {})
  let begun = false
  let value: T
  try {
    // Both in one round trip.
    await send(dialect.openShort === '' ? wire.begin : `${wire.begin}; ${dialect.openShort}`)
    begun = true
    value = await fn(runOn(wire, dialect, connection))
    await send('COMMIT')
  } catch (error) {
    // Of two statements the first may have begun it; one that failed began nothing.
    // A connection that cannot roll back is of no use to the next one.
    if (begun || dialect.openShort !== '') await send('ROLLBACK').catch(() => { connection.__knex__disposed ??= 'a transaction is open on it' })
    throw error
  }
  return value
}

function runOn (wire: Wire, dialect: Dialect, connection: PooledConnection): Run {
  const run = async (sql: string, bindings: readonly unknown[] = []): Promise<Array<Record<string, unknown>>> => dialect.rowsOf(await wire.send(connection, sql, bindings, {}))
  const tuples = async (sql: string, bindings: readonly unknown[] = []): Promise<unknown[][]> => dialect.tuplesOf(await wire.send(connection, sql, bindings, dialect.tupleOptions))
  return Object.assign(run, { tuples })
}
