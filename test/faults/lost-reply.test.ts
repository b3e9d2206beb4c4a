import t from 'tap'
import { openStore } from '#lib/store/index.js'
import { newRow, TestWorker } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { TcpProxy } from './tcp-proxy.ts'

// What the server has done and committed, and the client never heard of: the next try must come to the same.

const postgres = databases.find(({ name }) => name === 'postgres')

if (postgres === undefined) t.pass('TASKS_TEST_ONLY leaves this out')
else {
  for (const [what, statement, call] of [
    ['an insert', /INSERT INTO \S*tasks_results/, async ({ store }) => {
      const row = newRow()
      const [inserted] = await store.insert([row])
      t.match(inserted, { row: { id: row.id }, isDuplicate: false })
      t.equal((await store.list({ backend: 'default', limit: 10 })).rows.length, 4)
    }],
    ['a claim', /picked AS MATERIALIZED/, async ({ worker }) => {
      const rows = await worker.claim({ limit: 2 })
      t.equal(rows.length, 2)
      t.ok(rows.every(({ attempts, status }) => attempts === 1 && status === 'RUNNING'))
      t.equal((await worker.claim()).length, 1, 'no more than the limit were taken')
    }],
    ['a claim of rows with limits', /COMMIT/, async ({ store, worker }) => {
      const { row: { id } } = (await store.insert([newRow({ limits: { key: 'k', concurrency: 1, rate: null } })]))[0]!
      t.match((await worker.claimLimited()).rows, [{ id, attempts: 1, limited: true }])
    }],
    ['a success', /done AS \(UPDATE/, async ({ worker }) => {
      const [row] = await worker.claim({ limit: 1 })
      t.match(await worker.finish({ id: row!.id, claim: row!.claim, status: 'SUCCESSFUL', returnValue: '1' }), [{ id: row!.id, status: 'SUCCESSFUL' }])
    }],
    ['a failure', /WITH done AS/, async ({ worker }) => {
      const [row] = await worker.claim({ limit: 1 })
      t.match(await worker.finish({ id: row!.id, claim: row!.claim, status: 'FAILED', errors: [] }), [{ id: row!.id, status: 'FAILED' }])
    }],
    ['a release', /COMMIT/, async ({ worker, store }) => {
      const [row] = await worker.claim({ limit: 1 })
      await worker.release(row!)
      t.match(await store.get(row!.id), { status: 'READY', attempts: 0 })
    }],
    ['a renewal', /SET lease_until = \(/, async ({ store, worker }) => { t.match(await store.renew(worker.id, { leaseMs: 60_000, running: 0 }), { held: true }) }],
    ['a mark', /SET started = /, async ({ store, worker }) => {
      await worker.claim()
      await store.markStarted({ worker: worker.id, claim: worker.lastClaim }, 2)
    }]
  ] as ReadonlyArray<readonly [string, RegExp, (subject: { store: ReturnType<typeof openStore>, worker: TestWorker }) => Promise<void>]>) {
    t.test(`${what} whose answer was lost has the effect of one, and is answered`, async (t) => {
      const database = await postgres.open()
      const url = new URL(database.url)
      const proxy = await TcpProxy.open({ host: url.hostname, port: Number(url.port) })
      url.port = String(proxy.port)
      url.hostname = '127.0.0.1'
      // A level of its own is asked for before all else, on another try too.
      if (what.includes('limits')) url.searchParams.set('options', '-c default_transaction_isolation=serializable')
      const store = openStore({ url: url.href })
      t.teardown(async () => {
        await store.close()
        await proxy.close()
        await database.close()
      })
      await store.open()
      // By another connection: a statement's text travels once a connection, and it is by the text that it is met.
      const direct = openStore({ url: database.url })
      await direct.open()
      await direct.insert([newRow(), newRow(), newRow()])
      await direct.close()
      const worker = new TestWorker(store, ['test.task'], 'default')
      await worker.register(60_000, true)
      let cut = 0
      proxy.loseReplyTo(statement, () => { cut += 1 })
      await call({ store, worker })
      t.equal(cut, 1, 'an answer was lost')
    })
  }
}
