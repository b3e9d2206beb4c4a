import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { task } from 'fastify-tasks'
import { STORE_UNAVAILABLE } from '#lib/core/errors.js'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { gate, setting } from './setting.ts'

const away = (): Error => new STORE_UNAVAILABLE('be reached', 'this test says so')

for (const database of databases) {
  t.test(database.name, async (t) => {
    t.test('a worker that lost its lease aborts its attempts, registers anew and cannot finish what was taken', async (t) => {
      const [started, late] = [gate(), gate()]
      let calls = 0
      let reason: unknown
      const deaf = task('deaf', { takesContext: true }, async ({ signal }) => {
        calls += 1
        if (calls > 1) return 'second'
        signal.addEventListener('abort', () => { reason = signal.reason })
        started.open()
        await late.opened
        return 'first'
      })
      const { app, start, backend, lines } = await setting(t, database, [deaf])
      const result = await app.tasks.enqueue(deaf)
      const { worker } = start({ lease: 2_000, sweep: 100 })
      await started.opened
      const lost = worker.id as string
      await backend.store.renew(lost, { leaseMs: -1, running: 1 })
      await result.wait()
      t.match(reason, { code: 'FST_TASKS_LEASE_LOST' })
      t.match(result, { status: 'SUCCESSFUL', returnValue: 'second', attempts: 2 })
      t.not(worker.id, lost)
      late.open()
      await eventually(() => { assert.equal(lines.filter(({ err }) => err?.code === 'FST_TASKS_CLAIM_LOST').length, 1) })
      await result.refresh()
      t.equal(result.returnValue, 'second')
    })

    t.test('a claim whose answer was lost is handed back, uncharged, and run', async (t) => {
      const note = task('note', async () => 'done')
      const { app, start, backend, lines } = await setting(t, database, [note])
      const { store } = backend
      const claim = store.claim.bind(store)
      let lost = 0
      store.claim = async (request) => {
        const rows = await claim(request)
        if (rows.length > 0 && lost++ === 0) throw away()
        return rows
      }
      const result = await app.tasks.enqueue(note)
      start({ lease: 10_000, sweep: '1h' })
      await result.wait()
      t.match(result, { status: 'SUCCESSFUL', attempts: 1, errors: { length: 0 } })
      t.ok(lines.some(({ msg }) => msg.includes('whose answer was lost were handed back')))
    })

    t.test('endings survive a database that is away for a while, and each is written once', async (t) => {
      let calls = 0
      const note = task('note', async () => ++calls)
      const { app, start, backend, lines } = await setting(t, database, [note])
      const { store } = backend
      let failures = 0
      const finish = store.finish.bind(store)
      store.finish = async (worker, endings, ended) => {
        if (failures++ < 2) throw away() // before it took effect
        return await finish(worker, endings, ended)
      }
      const results = await app.tasks.enqueueMany(note, [[], [], []])
      start()
      for (const result of results) await result.wait()
      t.equal(calls, 3)
      t.ok(results.every(({ attempts }) => attempts === 1))
      t.equal(lines.filter(({ msg }) => msg.includes('endings of tasks could not be written')).length, 1, 'said once')
      t.ok(lines.some(({ msg }) => msg === 'the task database answers again'))
    })

    t.test('a worker starts when its database answers', async (t) => {
      const note = task('note', async () => 'done')
      const { app, start, backend } = await setting(t, database, [note])
      const { store } = backend
      const register = store.register.bind(store)
      let tries = 0
      store.register = async (worker) => { if (++tries < 3) throw away(); await register(worker) }
      const result = await app.tasks.enqueue(note)
      start()
      await result.wait()
      t.equal(tries, 3)
    })

    t.test('a worker that cannot reach the database aborts its attempts before its lease has run out', async (t) => {
      const started = gate()
      let abortedAt = Infinity
      const long = task('long', { takesContext: true }, async ({ signal }) => {
        signal.addEventListener('abort', () => { abortedAt = performance.now() })
        started.open()
        await sleep(60_000, undefined, { signal })
      })
      const { app, start, backend } = await setting(t, database, [long])
      const { store } = backend
      const { knex: _, ...config } = store.config
      // No thread can open this one: the lease is renewed here, where the test can come between.
      Object.defineProperty(store, 'config', { value: { ...config, url: 'sqlite::memory:' } })
      const renew = store.renew.bind(store)
      let [isAway, last] = [false, 0]
      store.renew = async (worker, request) => {
        if (isAway) throw away()
        last = performance.now()
        return await renew(worker, request)
      }
      const result = await app.tasks.enqueue(long)
      start({ lease: 9_000, sweep: '1h', shutdownGrace: 0 })
      await started.opened
      await eventually(() => { assert.ok(last > 0, 'not yet') })
      isAway = true
      await eventually(() => { assert.notEqual(abortedAt, Infinity) })
      t.ok(abortedAt - last < 9_000, `${abortedAt - last} ms after the last renewal`)
      isAway = false
      await eventually(async () => {
        await result.refresh()
        assert.equal(result.status, 'RUNNING')
        assert.equal(result.attempts, 1, 'handed back uncharged, and claimed again')
      })
    })

    t.test('quarantined tasks run alone in a worker that has no process to give, where no other can', async (t) => {
      let beside = 0
      let running = 0
      const count = async (): Promise<void> => {
        running += 1
        beside = Math.max(beside, running)
        await sleep(20)
        running -= 1
      }
      const suspect = task('suspect', async () => { await count(); return beside })
      const { app, drain, backend } = await setting(t, database, [suspect])
      const result = await app.tasks.enqueue(suspect)
      const { store } = backend
      for (const death of ['one', 'two']) {
        await store.register({ id: death, backend: 'default', leaseMs: 60_000, tasks: ['suspect'], quarantine: false })
        const lanes = [{ queue: 'default', priority: 0, after: null }]
        t.equal((await store.claim({ worker: death, claim: 1, backend: 'default', lanes, limit: 1, start: 1, tasks: ['suspect'] })).length, 1)
        await store.renew(death, { leaseMs: -1, running: 1 })
        await store.rescue({ backend: 'default', crashBudget: 3 })
      }
      await drain()
      await result.refresh()
      t.match(result, { status: 'SUCCESSFUL', returnValue: 1, attempts: 3 })
    })
  })
}
