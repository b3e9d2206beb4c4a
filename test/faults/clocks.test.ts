import t from 'tap'
import { openStore } from '#lib/store/index.js'
import { newRow, TestWorker } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

const HOUR = 3_600_000

for (const { name, open } of databases) {
  for (const skew of [HOUR, -HOUR]) {
    t.test(`${name}: a process whose clock is ${skew / HOUR} h wrong claims nothing early and nothing late, and keeps its lease`, async (t) => {
      const database = await open()
      const store = openStore({ url: database.url })
      await store.open()
      const now = Date.now
      t.teardown(async () => {
        Date.now = now
        await store.close()
        await database.close()
      })
      Date.now = () => now() + skew
      const ready = newRow()
      const deferred = newRow({ delay: HOUR / 2 })
      const at = newRow({ runAfter: now() + HOUR / 2 })
      const inserted = await store.insert([ready, deferred, at])
      t.ok(inserted.every(({ row }) => Math.abs(row.enqueuedAt - now()) < HOUR / 10), "moments are the database's")
      const worker = new TestWorker(store, ['test.task'], 'default')
      await worker.register(HOUR / 2, true)
      t.same((await worker.claim()).map(({ id }) => id), [ready.id])
      t.same((await store.rescue({ backend: 'default', crashBudget: 3 })).workers, [], 'the lease is held')
      t.match(await store.renew(worker.id, { leaseMs: HOUR / 2, running: 1 }), { held: true })
    })
  }
}
