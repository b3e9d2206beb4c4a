import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import { openStore } from '#lib/store/index.js'
import { newRow, TestWorker } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { eventually, within } from '../support/eventually.ts'
import { TcpProxy } from './tcp-proxy.ts'

// A network that swallows everything and tells nobody: connections are half open, and new ones hang. Whatever is asked
// of the store then ends, with a typed error, within the time of a call.

const TIMEOUT_MS = 2_000
const SLACK_MS = 4_000 // a busy machine
const postgres = databases.find(({ name }) => name === 'postgres')

async function open (t: Test): Promise<{ store: ReturnType<typeof openStore>, proxy: TcpProxy, url: string, direct: string }> {
  const database = await (postgres as NonNullable<typeof postgres>).open()
  const target = new URL(database.url)
  const proxy = await TcpProxy.open({ host: target.hostname, port: Number(target.port) })
  const url = new URL(database.url)
  url.port = String(proxy.port)
  url.hostname = '127.0.0.1'
  const store = openStore({ url: url.href, callTimeout: TIMEOUT_MS })
  t.teardown(async () => {
    proxy.heal()
    await store.close()
    await proxy.close()
    await database.close()
  })
  return { store, proxy, url: url.href, direct: database.url }
}

/** Ends with the typed error, and in time. */
async function gaveUp (what: string, call: Promise<unknown>): Promise<void> {
  const started = performance.now()
  await assert.rejects(within(TIMEOUT_MS + SLACK_MS, `an end of ${what}`, call), (error: Error & { code: string }) => {
    assert.equal(error.code, 'FST_TASKS_STORE_UNAVAILABLE', `${what}: ${error.message}`)
    return true
  })
  assert.ok(performance.now() - started >= TIMEOUT_MS * 0.9, `${what} was not given its time`)
}

if (postgres === undefined) t.pass('TASKS_TEST_ONLY leaves this out')
else {
  t.test('every call on a half-open connection ends within its time, and the store is as good as new when the network is', async (t) => {
    const { store, proxy } = await open(t)
    await store.open()
    const worker = new TestWorker(store, ['test.task'], 'default')
    await worker.register(60_000, true)
    const [held, ready] = [newRow(), newRow()]
    await store.insert([held, ready])
    const [row] = await worker.claim({ limit: 1 })
    const token = { id: row!.id, claim: row!.claim }
    const [committing, rollingBack, inserting] = [await store.begin(), await store.begin(), await store.begin()]
    await committing.transaction.raw('SELECT 1')
    await Promise.all(Array.from({ length: 7 }, async () => { await store.ping() })) // connections to meet
    proxy.blackHole()
    await Promise.all([
      gaveUp('an insert', store.insert([newRow()])),
      gaveUp('a read', store.get(ready.id)),
      gaveUp('a finish', store.finish(worker.id, [{ ...token, status: 'SUCCESSFUL', returnValue: '1' }], [])),
      gaveUp('a release', store.release(worker.id, [token], [])),
      gaveUp('a cancellation', store.cancel({ backend: 'default', id: ready.id })),
      gaveUp('a rescue', store.rescue({ backend: 'default', crashBudget: 3 })),
      gaveUp('a sign-off', store.deregister('nobody')),
      gaveUp('statistics', store.stats('default')),
      gaveUp('a commit', committing.commit()),
      gaveUp('a rollback', rollingBack.rollback()),
      gaveUp('an insert in a transaction', store.insert([newRow()], { transaction: inserting.transaction })),
      gaveUp('a transaction', store.begin())
    ])
    await inserting.rollback().catch(() => {}) // as whoever began it does
    proxy.heal()
    const started = performance.now()
    t.equal((await store.get(ready.id))?.id, ready.id, 'connections that had been silent are not tried one by one')
    t.ok(performance.now() - started < TIMEOUT_MS, 'at once')
    await eventually(async () => { await store.insert([newRow()]) })
  })

  t.test('neither opening nor closing waits for a network that swallows', async (t) => {
    const { store, proxy } = await open(t)
    proxy.blackHole()
    await gaveUp('opening', store.open())
    await within(TIMEOUT_MS + SLACK_MS, 'its close', store.close())
    t.pass('both ended')
  })

  t.test('a listener that hangs while it connects holds up neither its worker nor the end', async (t) => {
    const { store, proxy } = await open(t)
    await store.open()
    proxy.stallReplyTo(/LISTEN/)
    const listener = await within(TIMEOUT_MS + SLACK_MS, 'an answer', store.listen(() => {}))
    t.equal(listener.healthy(), false)
    proxy.heal()
    await eventually(() => { assert.ok(listener.healthy(), 'it listens again') })
    proxy.blackHole()
    await within(TIMEOUT_MS + SLACK_MS, 'its close', listener.close())
  })

  t.test('a statement that its client has given up does not go on waiting on the server', async (t) => {
    const { store, direct } = await open(t)
    await store.open()
    const other = openStore({ url: direct })
    t.teardown(async () => { await other.close() })
    await other.open()
    const holder = await other.begin()
    await holder.transaction.raw('LOCK TABLE tasks_results IN ACCESS EXCLUSIVE MODE')
    await gaveUp('an insert', store.insert([newRow()]))
    await eventually(async () => {
      const { rows } = await holder.transaction.raw("SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
      assert.equal(rows[0].waiting, 0)
    }, { timeout: 10_000 })
    await holder.rollback()
    t.equal((await store.list({ backend: 'default', limit: 10 })).rows.length, 0, 'what was refused is not stored after all')
  })
}
