import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import Fastify from 'fastify'
import knex, { type Knex } from 'knex'
import fastifyTasks, { task } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { threadStoreOf } from '#lib/worker/thread-store.js'
import type { Store } from '#lib/store/store.js'
import { databases } from '../support/databases.ts'
import { setting } from './setting.ts'

function blockFor (milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

for (const database of databases) {
  t.test(`a task that blocks the loop for longer than the lease keeps it, on ${database.name}`, async (t) => {
    const block = task('block', async () => {
      await new Promise((resolve) => setTimeout(resolve, 1_500)) // the keeper's thread is up by then, on a busy machine too
      blockFor(1_500)
      return 'done'
    })
    const { app, start } = await setting(t, database, [block])
    const result = await app.tasks.enqueue(block)
    const { worker } = start({ lease: 900 })
    await result.wait()
    t.match(result, { status: 'SUCCESSFUL', attempts: 1, workerIds: [worker.id] })
  })
}

t.test("a lease on an app's own Knex instance is renewed from a thread as well", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-knex-'))
  const shared = knex({ client: 'sqlite3', connection: { filename: join(folder, 'app.sqlite3') }, useNullAsDefault: true })
  const block = task('block', async () => {
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    blockFor(1_500)
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
  const worker = createWorker(app, { lease: 900 })
  void worker.run()
  await result.wait()
  t.match(result, { status: 'SUCCESSFUL', attempts: 1, workerIds: [worker.id] })
})

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
