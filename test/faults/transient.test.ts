import t from 'tap'
import { openStore } from '#lib/store/index.js'
import { faultOf } from '#lib/store/faults.js'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

t.test('what passes is told from what does not, by its code', async (t) => {
  for (const code of ['08006', '57P01', '57P03', '57014', '40001', '40P01', '55P03', '25006', '25P03', '53300', 'ECONNRESET', 'EPIPE', 'SQLITE_BUSY', 'SQLITE_BUSY_SNAPSHOT']) t.equal(faultOf({ code }), 'transient', code)
  for (const code of ['53100', '28P01', '3D000', '42P01', '42501', 'SQLITE_FULL', 'SQLITE_IOERR_FSYNC', 'SQLITE_READONLY', 'SQLITE_CORRUPT']) t.equal(faultOf({ code }), 'unavailable', code)
  for (const code of ['22021', '22P02', '23505', '42601', 'SQLITE_CONSTRAINT_UNIQUE', 'SQLITE_ERROR', 'SQLITE_TOOBIG']) t.equal(faultOf({ code }), 'permanent', code)
  t.equal(faultOf(new Error('Connection terminated unexpectedly')), 'transient')
  t.equal(faultOf(new Error('something else')), 'permanent')
  t.equal(faultOf(null), 'permanent')
})

for (const { name, open } of databases) {
  t.test(`${name}: what a retry would only repeat is not tried again`, async (t) => {
    const database = await open()
    const store = openStore({ url: database.url })
    t.teardown(async () => {
      await store.close()
      await database.close()
    })
    await store.open()
    const started = performance.now()
    await t.rejects(store.insert([newRow({ task: null as unknown as string })]), { code: 'FST_TASKS_STORE_UNAVAILABLE', fault: 'permanent' })
    t.ok(performance.now() - started < 4_000, 'at once')
  })
}
