import type { Knex } from 'knex'
import { openStore } from '../store/index.js'
import { newKnex } from '../store/load-knex.js'
import type { StoreConfig } from '../store/config.js'
import type { Store } from '../store/store.js'

/** How a thread opens a store of its own: by URL, or by what an app's own Knex instance connects with. */
export interface ThreadStore {
  readonly config: StoreConfig
  /** What is open in it ends by itself, and never from outside: see ThreadEnd. */
  readonly sqlite: boolean
  readonly knex: { readonly client: string, readonly connection: object | string, readonly useNullAsDefault: boolean } | null
}

/**
 * What a thread needs to open the same database, as values that can be sent to it. Null where there is no such thing: a
 * database in memory, or a Knex instance whose connection comes from a function or a client of its own.
 */
export function threadStoreOf (store: Store): ThreadStore | null {
  const { knex: shared, ...rest } = store.config
  const config = { ...rest, migrate: false, listen: false }
  if (shared === undefined) return config.url?.includes(':memory:') === true ? null : { config, sqlite: config.url?.startsWith('sqlite:') === true, knex: null }
  const { client, connection } = shared.client.config as Knex.Config
  if (typeof client !== 'string' || typeof connection === 'function' || connection === undefined || inMemory(connection)) return null
  // Knex keeps the password where a copy does not see it.
  const settings = typeof connection === 'string' ? connection : { ...connection, ...secretsOf(connection) }
  try {
    return { config, sqlite: client.includes('sqlite'), knex: { client, connection: structuredClone(settings), useNullAsDefault: true } }
  } catch {
    return null
  }
}

/** In the thread. `release` gives up what the store does not close itself. */
export function openThreadStore ({ config, knex: settings }: ThreadStore): { store: Store, release: () => Promise<void> } {
  if (settings === null) return { store: openStore(config), release: async () => {} }
  // Knex would print what is thrown anyway, in a driver's words and to stdout.
  const log = { warn () {}, error () {}, deprecate () {}, debug () {} }
  const shared = newKnex({ ...settings, log, pool: { min: 0, max: 2 } } as Knex.Config)
  return { store: openStore({ ...config, knex: shared }), release: async () => { await shared.destroy() } }
}

function inMemory (connection: object | string): boolean {
  if (typeof connection === 'string') return connection.includes(':memory:')
  const { filename } = connection as { filename?: unknown }
  return typeof filename === 'string' && (filename.includes(':memory:') || filename === '' || filename.includes('mode=memory'))
}

function secretsOf (connection: object): object {
  const { password } = connection as { password?: unknown }
  return password === undefined ? {} : { password }
}
