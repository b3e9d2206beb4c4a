import t from 'tap'
import knex, { type Knex } from 'knex'
import { testStore, type Store, type StoreUnderTest } from 'fastify-tasks/testing'
import { openStore } from '#lib/store/index.js'
import { databases, type TestDatabases } from '../support/databases.ts'

// On connections of the app's own there are no procedures: what is one call elsewhere is a transaction there.

for (const database of databases) {
  if (database.name === 'sqlite') testStore({ name: "sqlite, on the app's Knex", test: t, open: async () => await fresh(database) })
}

async function fresh ({ open }: TestDatabases): Promise<StoreUnderTest> {
  const { url, close } = await open({ keepTables: true })
  const opened: Array<{ store: Store, app: Knex }> = []
  const connect = async (): Promise<Store> => {
    const app = knex({ client: 'sqlite3', connection: { filename: url.replace('sqlite:', '') }, useNullAsDefault: true })
    const store = openStore({ knex: app })
    opened.push({ store, app })
    await store.open()
    return store
  }
  return {
    store: await connect(),
    connect,
    close: async () => {
      for (const { store, app } of opened) {
        await store.close()
        await app.destroy()
      }
      await close()
    }
  }
}
