import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import knexFactory from 'knex'
import { openStore } from '#lib/store/index.js'
import { ids, newRow, TestWorker } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { TcpProxy } from './tcp-proxy.ts'

// A process that is stopped, or whose loop is blocked by a task, in the middle of a transaction: its connection stays,
// and with it what the transaction has locked. A proxy that keeps one answer back stands for it.

const LEASE_MS = 1_000
const BOUND_MS = 6_000 // the lease or a second, whichever is longer, and a busy machine; the time of a call is 15 s
const postgres = databases.find(({ name }) => name === 'postgres')
const UNDER_KEY = { limits: { key: 'k', concurrency: 1, rate: null } }

interface Scene { readonly slow: TestWorker, readonly quick: TestWorker, readonly proxy: TcpProxy }

async function setting (t: Test, kind: 'a pool of our own' | 'the pool of the app'): Promise<Scene> {
  const database = await (postgres as NonNullable<typeof postgres>).open()
  const target = new URL(database.url)
  const proxy = await TcpProxy.open({ host: target.hostname, port: Number(target.port) })
  const url = new URL(database.url)
  url.port = String(proxy.port)
  url.hostname = '127.0.0.1'
  const knex = kind === 'the pool of the app' ? knexFactory({ client: 'pg', connection: url.href, log: { warn () {}, error () {} } }) : undefined
  const stores = [openStore(knex === undefined ? { url: url.href } : { knex }), openStore({ url: database.url })] as const
  t.teardown(async () => {
    proxy.heal()
    await Promise.all(stores.map(async (store) => { await store.close() }))
    await knex?.destroy()
    await proxy.close()
    await database.close()
  })
  await stores[0].open()
  await stores[1].open()
  const [slow, quick] = stores.map((store) => new TestWorker(store, ['test.task'], 'default')) as [TestWorker, TestWorker]
  await slow.register(LEASE_MS, true)
  await quick.register(60_000, true)
  return { slow, quick, proxy }
}

if (postgres === undefined) t.pass('TASKS_TEST_ONLY leaves this out')
else {
  for (const kind of ['a pool of our own', 'the pool of the app'] as const) {
    t.test(`a claim that stands still in the middle keeps neither its keys nor its lease: ${kind}`, async (t) => {
      const { slow, quick, proxy } = await setting(t, kind)
      const row = newRow(UNDER_KEY)
      await quick.store.insert([row])
      const stalled = new Promise<void>((resolve) => { proxy.stallReplyTo(/FOR KEY SHARE/, resolve) })
      const claim = slow.claimLimited()
      claim.catch(() => {})
      await stalled
      await eventually(async () => { assert.deepEqual(ids((await quick.claimLimited()).rows), [row.id]) }, { timeout: BOUND_MS })
      await eventually(async () => { assert.deepEqual((await quick.store.rescue({ backend: 'default', crashBudget: 3 })).workers, [slow.id]) }, { timeout: BOUND_MS })
      proxy.heal()
      assert.deepEqual(ids((await claim).rows), [], 'it was begun anew, and found its lease gone')
    })
  }
}
