import type { Test } from 'tap'
import knexFactory, { type Knex } from 'knex'
import { openStore, type KnexStore } from '#lib/store/index.js'
import { postgres } from './postgres-databases.ts'

/** A store whose statements can be heard (`knex.on('query')`) and explained, through a Knex of one's own. */
export interface HeardStore { readonly knex: Knex, readonly store: KnexStore }

// As a store's own connections are set.
const AS_SET = '-c enable_seqscan=off -c jit=off'

/** @param options - of each of its sessions */
export async function heardPostgres (t: Test, options = AS_SET): Promise<HeardStore> {
  const { url, close } = await postgres.open()
  const knex = knexFactory({ client: 'pg', connection: { connectionString: url, options }, pool: { min: 0, max: 4 } })
  return await opened(t, knex, close)
}

/** In memory, so that reads go the same way as writes, and are heard. */
export async function heardSqlite (t: Test): Promise<HeardStore> {
  return await opened(t, knexFactory({ client: 'sqlite3', connection: { filename: ':memory:' }, pool: { min: 1, max: 1 }, useNullAsDefault: true }))
}

async function opened (t: Test, knex: Knex, close = async (): Promise<void> => {}): Promise<HeardStore> {
  const store = openStore({ knex })
  t.teardown(async () => { await store.close(); await knex.destroy(); await close() })
  await store.open()
  return { knex, store }
}

/** What PostgreSQL may do all the same, once it thinks wrongly of the tables: it goes row by row through all that it joins. */
export const ROW_BY_ROW = ['hashjoin', 'mergejoin', 'hashagg', 'material', 'memoize', 'sort'].map((way) => `-c enable_${way}=off`).join(' ')
