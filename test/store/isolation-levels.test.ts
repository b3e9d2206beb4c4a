import t from 'tap'
import { openStore } from '#lib/store/index.js'
import { Bench, newRow, type TestWorker } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

// A database or a role may have a stricter level than READ COMMITTED by default. What a statement of ours has waited for
// must be seen by the next one all the same.
const postgres = databases.find(({ name }) => name === 'postgres')

for (const level of ['repeatable read', 'serializable']) {
  t.test(`where transactions are ${level} by default`, { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
    const { url: plain, close } = await (postgres as NonNullable<typeof postgres>).open()
    t.teardown(close)
    const url = new URL(plain)
    url.searchParams.set('options', `-c default_transaction_isolation=${level.replace(' ', '\\ ')}`)
    const stores = Array.from({ length: 4 }, () => openStore({ url: url.href }))
    t.teardown(async () => { await Promise.all(stores.map(async (store) => { await store.close() })) })

    await t.test('stores that are opened at once bring the tables up together', async () => {
      await Promise.all(stores.map(async (store) => { await store.open() }))
    })

    await t.test('a worker that signs off hands back what was claimed for it at that moment', async (t) => {
      const [store] = stores as [typeof stores[number]]
      const bench = new Bench({ store, connect: async () => store, close: async () => {} })
      for (let round = 0; round < 20; round++) {
        await store.insert(Array.from({ length: 10 }, () => newRow()))
        const worker: TestWorker = await bench.worker()
        await Promise.all([worker.claim().catch(() => []), store.deregister(worker.id)])
        await store.cancel({ backend: 'default' })
        t.equal((await store.list({ backend: 'default', status: 'RUNNING', limit: 10 })).rows.length, 0)
      }
    })
  })
}
