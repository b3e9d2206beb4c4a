import t from 'tap'
import { testStore, type Store, type StoreUnderTest } from 'fastify-tasks/testing'
import { openStore } from '#lib/store/index.js'
import { databases, type TestDatabases } from '../support/databases.ts'
import { emptyTables } from '../support/postgres-databases.ts'

for (const database of databases) {
  if (database.name === 'sqlite') {
    testStore({ name: 'sqlite', test: t, open: async () => await fresh(database) })
    continue
  }
  const { open, end } = shared(database)
  testStore({ name: 'postgres', test: t, open })
  t.test('postgres: the store that served all of these closes', end)
}

/** A database and a store for each test. */
async function fresh ({ open }: TestDatabases): Promise<StoreUnderTest & { url: string }> {
  const { url, close } = await open({ keepTables: true })
  const { connect, disconnect } = connections(url)
  return {
    url,
    store: await connect(),
    connect,
    close: async () => {
      await disconnect()
      await close()
    }
  }
}

/**
 * One store for all tests, as one serves a process for long, and tables that are emptied: on PostgreSQL each session
 * of another store would cost more than most tests.
 */
function shared (database: TestDatabases): { open: () => Promise<StoreUnderTest>, end: () => Promise<void> } {
  let opened: Promise<StoreUnderTest & { url: string }> | undefined
  return {
    open: async () => {
      opened ??= fresh(database)
      const { url, store } = await opened
      const { connect, disconnect } = connections(url)
      return {
        store,
        connect,
        close: async () => {
          await disconnect()
          await emptyTables(url)
        }
      }
    },
    end: async () => { await (await opened)?.close() }
  }
}

/** Stores on one database, opened as they are asked for and closed together. */
function connections (url: string): { connect: () => Promise<Store>, disconnect: () => Promise<void> } {
  const stores: Store[] = []
  return {
    connect: async () => {
      const store = openStore({ url })
      stores.push(store)
      await store.open()
      return store
    },
    disconnect: async () => { await Promise.all(stores.map(async (store) => { await store.close() })) }
  }
}
