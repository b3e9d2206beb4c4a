import type { Knex } from 'knex'
import type { Connections } from './connections.js'
import type { Send, Session } from './session.js'

// What a Knex instance is connected to, asked once an instance: a transaction shares its instance's `config`.
const identities = new WeakMap<object, Promise<string>>()

/**
 * True where a transaction belongs to the database of these connections: the app may well have a Knex instance of its
 * own on the same database.
 * @throws FST_TASKS_STORE_UNAVAILABLE
 */
export async function ownsTransaction (session: Session, connections: Connections, transaction: Knex.Transaction): Promise<boolean> {
  const [ours, theirs] = [connections.writer, transaction].map((knex) => knex.client.config as object)
  if (ours === theirs) return true
  if (driverOf(transaction) !== driverOf(connections.writer)) return false
  const what = 'be told from another'
  // The transaction is asked itself: on SQLite its pool may have no connection left.
  const [mine, its] = [
    await identify(driverOf(transaction), ours as object, async (sql) => await session.read(what, sql)),
    await identify(driverOf(transaction), theirs as object, async (sql) => await session.within(what, transaction, async (run) => await run(sql)))
  ]
  return mine === its
}

async function identify (driver: string, config: object, send: Send): Promise<string> {
  const known = identities.get(config)
  if (known !== undefined) return await known
  const asked = ask(driver, send)
  identities.set(config, asked)
  asked.catch(() => { identities.delete(config) })
  return await asked
}

async function ask (driver: string, send: Send): Promise<string> {
  if (driver === 'postgres') {
    const [row] = await send('SELECT current_database() AS name, inet_server_port() AS port, pg_postmaster_start_time()::text AS started')
    return JSON.stringify(row)
  }
  const databases = await send('PRAGMA database_list') as Array<{ name?: string, file?: string }>
  const file = databases.find(({ name }) => name === 'main')?.file ?? ''
  // Each in-memory database is its own.
  return file === '' ? `memory ${Math.random()}` : file
}

function driverOf (knex: Knex): string {
  const name = String((knex.client as { driverName?: string }).driverName)
  return name === 'pg' ? 'postgres' : name
}
