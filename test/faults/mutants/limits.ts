import t from 'tap'
import { Bench } from '#lib/conformance/store/bench.js'
import { limitedChapter } from '#lib/conformance/store/limited.js'
import { limitedOrderChapter } from '#lib/conformance/store/limited-order.js'
import { openStore } from '#lib/store/index.js'
import type { Store } from '#lib/store/store.js'
import { databases } from '../../support/databases.ts'

// The chapters on limits of the store's suite by themselves, for the bugs in limits: all of it would take them minutes.

for (const { name, open } of databases) {
  for (const chapter of [limitedChapter, limitedOrderChapter]) {
    chapter((title, body) => {
      t.test(`${name}: ${title}`, async (t) => {
        const { url, close } = await open()
        const stores: Store[] = []
        const connect = async (): Promise<Store> => {
          const store = openStore({ url })
          stores.push(store)
          await store.open()
          return store
        }
        t.teardown(async () => {
          await Promise.all(stores.map(async (store) => { await store.close() }))
          await close()
        })
        await body(new Bench({ store: await connect(), connect, close }))
      })
    })
  }
}
