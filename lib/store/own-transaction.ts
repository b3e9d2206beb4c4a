import type { Dialect } from './dialects/dialect.js'
import type { Run, Send } from './session.js'
import type { PooledConnection } from './pooled.js'
import type { Sending } from './sending.js'
import type { Wire } from './wire.js'

/** Statements on one connection of our own, from BEGIN to COMMIT; rolled back where the function throws. */
export async function ownTransaction<T> (connection: PooledConnection, how: Ours, fn: (run: Run) => Promise<T>): Promise<T> {
  const { wire, dialect } = how
  const send = async (sql: string): Promise<unknown> => await wire.send(connection, sql, [], {})
  let begun = false
  let value: T
  try {
    // Both in one round trip.
    await send(dialect.openShort === '' ? wire.begin : `${wire.begin}; ${dialect.openShort}`)
    begun = true
    value = await fn(runOn(connection, how))
    await send('COMMIT')
  } catch (error) {
    // Of two statements the first may have begun it; one that failed began nothing.
    // A connection that cannot roll back is of no use to the next one.
    if (begun || dialect.openShort !== '') await send('ROLLBACK').catch(() => { connection.__knex__disposed ??= 'a transaction is open on it' })
    throw error
  }
  return value
}

interface Ours {
  readonly wire: Wire
  readonly dialect: Dialect
  readonly sending: Sending
}

function runOn (connection: PooledConnection, { wire, dialect, sending }: Ours): Run {
  const run: Send = async (sql, bindings = [], how = {}) => dialect.rowsOf(await wire.send(connection, sql, bindings, sending.optionsOf(sql, how)))
  const tuples = async (...[sql, bindings = [], how = {}]: Parameters<Send>): Promise<unknown[][]> => {
    return dialect.tuplesOf(await wire.send(connection, sql, bindings, { ...sending.optionsOf(sql, how), ...dialect.tupleOptions }))
  }
  return Object.assign(run, { tuples })
}
