import t from 'tap'
import { testStore, type Store } from 'fastify-tasks/testing'
import { openStore } from '#lib/store/index.js'
import { databases } from '../support/databases.ts'

for (const { name, open } of databases) {
  testStore({
    name,
    test: t,
    async open () {
      const { url, close } = await open()
      const stores: Store[] = []
      const connect = async (): Promise<Store> => {
        const store = openStore({ url })
        stores.push(store)
        await store.open()
        return store
      }
      return {
        store: await connect(),
        connect,
        close: async () => {
          await Promise.all(stores.map(async (store) => { await store.close() }))
          await close()
        }
      }
    }
  })
}
