import t from 'tap'
import { openStore } from '#lib/store/index.js'
import { newRow, TestWorker } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

const HOUR = 3_600_000

for (const { name, open } of databases) {
  for (const skew of [HOUR, -HOUR]) {
    t.test(`${name}: a process whose clock is ${skew / HOUR} h wrong claims nothing early and nothing late, and keeps its lease and its rates`, async (t) => {
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
      const limits = { key: null, concurrency: 1, rate: { name: 'r', max: 1, every: HOUR / 2 } }
      await store.insert([newRow({ limits }), newRow({ limits })])
      t.equal((await worker.claimLimited({ limit: 1 })).rows.length, 1)
      const { rows, nextIn } = await worker.claimLimited()
      t.same(rows, [], 'the rate is spent')
      t.ok(nextIn !== null && nextIn > HOUR / 2 - HOUR / 10 && nextIn <= HOUR / 2 + HOUR / 10, `for ${nextIn} ms`)
      t.match(await store.renew(worker.id, { leaseMs: HOUR / 2, running: 1 }), { held: true })
    })
  }
}
