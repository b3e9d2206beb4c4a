import type { Knex } from 'knex'
import type { Connections } from '../connections.js'
import type { Tables } from '../tables.js'
import * as tables0001 from './0001-tables.js'
import { MIGRATION_REQUIRED, SCHEMA_TOO_NEW } from '../../core/errors.js'
import { MIGRATE_TIMEOUT_MS } from '../../core/limits.js'
import type { Send, Session } from '../session.js'

export interface Migration {
  readonly name: string
  readonly up: typeof tables0001.up
  readonly down: typeof tables0001.down
}

/** In order; never changed once released. */
export const MIGRATIONS: readonly Migration[] = [
  { name: '0001-tables', ...tables0001 }
]

const NEWEST = MIGRATIONS.at(-1)?.name ?? ''

/**
 * Bring the tables up to date with Knex's migrator, with bookkeeping tables of our own, inside one transaction that
 * holds the database's own lock: it dies with its holder, and so does a half-done migration. (Knex's lock row alone
 * would outlive a killed process.)
 *
 * @param migrations - those of this version; a test may have more
 * @returns the names of the migrations that were run
 * @throws FST_TASKS_SCHEMA_TOO_NEW
 */
export async function migrate (session: Session, connections: Connections, tables: Tables, migrations = MIGRATIONS): Promise<string[]> {
  const { dialect } = connections
  const { value } = await session.transaction('be migrated', async (trx) => {
    await takeLock(trx, connections, tables)
    for (const statement of connections.definitions.end) await trx.raw(statement)
    refuseNewer(await applied(async (sql, bindings = []) => connections.dialect.rowsOf(await trx.raw(sql, bindings as Knex.RawBinding[])), connections, tables))
    const [, names] = await trx.migrate.latest({
      tableName: tables.migrations,
      ...(tables.schema !== undefined && { schemaName: tables.schema }),
      migrationSource: source(dialect, tables, migrations),
      // The transaction around it is the one.
      disableTransactions: true
    }) as [number, string[]]
    for (const statement of connections.definitions.begin) await trx.raw(statement)
    return names
  }, MIGRATE_TIMEOUT_MS)
  return value
}

/** The names of the migrations that the tables lack. @throws FST_TASKS_SCHEMA_TOO_NEW, FST_TASKS_STORE_UNAVAILABLE */
export async function pendingMigrations (send: Send, connections: Connections, tables: Tables): Promise<string[]> {
  const known = await applied(send, connections, tables)
  refuseNewer(known)
  return MIGRATIONS.map(({ name }) => name).filter((name) => !known.includes(name))
}

/** @throws FST_TASKS_MIGRATION_REQUIRED with the command to run */
export function refusePending (pending: readonly string[]): void {
  if (pending.length === 0) return
  const state = pending.length === MIGRATIONS.length ? 'missing' : `older than this version needs (${pending.join(', ')})`
  throw new MIGRATION_REQUIRED(state, 'npx fastify-tasks migrate')
}

async function takeLock (trx: Knex.Transaction, { dialect }: Connections, tables: Tables): Promise<void> {
  await dialect.lockMigrations(trx, `${tables.schema ?? ''}.${tables.prefix}`)
  if (tables.schema !== undefined) await trx.raw(`CREATE SCHEMA IF NOT EXISTS "${tables.schema}"`)
}

async function applied (send: Send, { dialect }: Connections, tables: Tables): Promise<string[]> {
  const schema = tables.schema === undefined ? '' : `"${tables.schema}".`
  const table = `${schema}"${tables.migrations}"`
  const exists = dialect.name === 'postgres'
    ? await send('SELECT to_regclass(?)::text AS name', [table])
    : await send("SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?", [tables.migrations])
  if (exists[0]?.['name'] === undefined || exists[0]['name'] === null) return []
  const rows = await send(`SELECT name FROM ${table} ORDER BY id`)
  return rows.map((row) => String(row['name']))
}

function refuseNewer (known: readonly string[]): void {
  const unknown = known.filter((name) => !MIGRATIONS.some((migration) => migration.name === name))
  if (unknown.length > 0) throw new SCHEMA_TOO_NEW(unknown.at(-1) as string, NEWEST)
}

function source (dialect: Connections['dialect'], tables: Tables, migrations: readonly Migration[]): Knex.MigrationSource<Migration> {
  return {
    getMigrations: async () => [...migrations],
    getMigrationName: ({ name }) => name,
    getMigration: async (migration) => ({
      up: async (knex: Knex) => { await migration.up(knex, tables, dialect) },
      down: async (knex: Knex) => { await migration.down(knex, tables, dialect) }
    })
  }
}
