import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import Fastify, { type FastifyBaseLogger } from 'fastify'
import knex, { type Knex } from 'knex'
import fastifyTasks, { task } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { threadStoreOf } from '#lib/worker/thread-store.js'
import type { Store } from '#lib/store/store.js'
import { Lease } from '#lib/worker/lease.js'
import { monotonic } from '#lib/worker/pause.js'
import { openStore } from '#lib/store/index.js'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

/** The loop stands still, and takes no CPU from the thread that is to be shown. */
function blockFor (milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}

for (const database of databases) {
  t.test(`a task that blocks the loop for longer than the lease keeps it, on ${database.name}`, async (t) => {
    const block = task('block', async () => {
      await new Promise((resolve) => setTimeout(resolve, 4_000)) // the keeper's thread is up by then, on a busy machine too
      blockFor(7_000)
      return 'done'
    })
    const { app, start } = await setting(t, database, [block])
    const result = await app.tasks.enqueue(block)
    const { worker } = start({ lease: 5_000 })
    await result.wait()
    t.match(result, { status: 'SUCCESSFUL', attempts: 1, workerIds: [worker.id] })
  })
}

t.test("a lease on an app's own Knex instance is renewed from a thread as well", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-knex-'))
  const shared = knex({ client: 'sqlite3', connection: { filename: join(folder, 'app.sqlite3') }, useNullAsDefault: true })
  const block = task('block', async () => {
    await new Promise((resolve) => setTimeout(resolve, 4_000))
    blockFor(7_000)
    return 'done'
  })
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await shared.destroy()
    await rm(folder, { recursive: true })
  })
  await app.register(fastifyTasks, { tasks: [block], env: false, backends: { default: { backend: 'database', knex: shared } } })
  const result = await app.tasks.enqueue(block)
  const worker = createWorker(app, { lease: 5_000 })
  void worker.run()
  await result.wait()
  t.match(result, { status: 'SUCCESSFUL', attempts: 1, workerIds: [worker.id] })
})

for (const database of databases) {
  t.test(`a lease that no whole number of calls fits into is renewed from a thread, on ${database.name}`, async (t) => {
    const { url, close } = await database.open()
    const store = openStore({ url })
    t.teardown(async () => {
      await store.close()
      await close()
    })
    await store.open()
    const leaseMs = 40_000 // a sixth of it is no whole number of milliseconds
    await store.register({ id: 'w', backend: 'default', leaseMs, tasks: [], quarantine: false })
    const errors: unknown[] = []
    const log = { warn () {}, error ({ err }: { err: unknown }) { errors.push(err) } } as unknown as FastifyBaseLogger
    const onMain: Store = Object.create(store, { renew: { value: async () => { throw new Error('the thread is to renew it') } } })
    // It is time to renew it at once.
    const takenAt = monotonic() - leaseMs / 2
    const lease = new Lease({ store: onMain, origin: threadStoreOf(store), worker: 'w', leaseMs, maxBlockMs: 5_000, takenAt, pipe: null, log, onClaims () {}, onCancelled () {}, onLost () {} })
    lease.start()
    await eventually(() => { if (errors.length === 0) assert.ok(lease.heldUntil > takenAt + leaseMs, 'it was not renewed') })
    await lease.stop()
    t.same(errors, [])
  })
}

t.test('a thread is given what it needs to connect, and nothing is guessed', async (t) => {
  const of = (config: object): unknown => threadStoreOf({ config } as unknown as Store)
  t.match(of({ url: 'sqlite:/a/b', schema: 's' }), { config: { url: 'sqlite:/a/b', schema: 's', migrate: false, listen: false }, knex: null })
  t.equal(of({ url: 'sqlite::memory:' }), null)
  const instance = (settings: Knex.Config): Knex => {
    const made = knex(settings)
    t.teardown(async () => { await made.destroy() })
    return made
  }
  t.match(of({ knex: instance({ client: 'pg', connection: { host: 'h', user: 'u', password: 'secret' } }) }), { knex: { client: 'pg', connection: { host: 'h', user: 'u', password: 'secret' } } })
  t.match(of({ knex: instance({ client: 'pg', connection: 'postgres://u:secret@h/d' }) }), { knex: { client: 'pg', connection: { host: 'h', user: 'u', password: 'secret', database: 'd' } } })
  t.equal(of({ knex: instance({ client: 'pg', connection: async () => ({ host: 'h' }) }) }), null, 'credentials that a function gives')
  t.equal(of({ knex: instance({ client: 'sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true }) }), null)
})
