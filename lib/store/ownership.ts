import type { Knex } from 'knex'
import type { Connections } from './connections.js'

// What a Knex instance is connected to, asked once an instance: a transaction shares its instance's `config`.
const identities = new WeakMap<object, Promise<string>>()

/**
 * True where a transaction belongs to the database of these connections: the app may well have a Knex instance of its
 * own on the same database.
 */
export async function ownsTransaction (connections: Connections, transaction: Knex.Transaction): Promise<boolean> {
  const [ours, theirs] = [connections.writer, transaction].map((knex) => knex.client.config as object)
  if (ours === theirs) return true
  if (driverOf(transaction) !== driverOf(connections.writer)) return false
  // The transaction is asked itself: on SQLite its pool may have no connection left.
  return await identify(connections.reader, ours as object) === await identify(transaction, theirs as object)
}

async function identify (knex: Knex, config: object): Promise<string> {
  const known = identities.get(config)
  if (known !== undefined) return await known
  const asked = ask(knex)
  identities.set(config, asked)
  asked.catch(() => { identities.delete(config) })
  return await asked
}

async function ask (knex: Knex): Promise<string> {
  if (driverOf(knex) === 'postgres') {
    const { rows } = await knex.raw('SELECT current_database() AS name, inet_server_port() AS port, pg_postmaster_start_time()::text AS started') as { rows: Array<Record<string, unknown>> }
    return JSON.stringify(rows[0])
  }
  const databases = await knex.raw('PRAGMA database_list') as Array<{ name: string, file: string }>
  const file = databases.find(({ name }) => name === 'main')?.file ?? ''
  // Each in-memory database is its own.
  return file === '' ? `memory ${Math.random()}` : file
}

function driverOf (knex: Knex): string {
  const name = String((knex.client as { driverName?: string }).driverName)
  return name === 'pg' ? 'postgres' : name
}
