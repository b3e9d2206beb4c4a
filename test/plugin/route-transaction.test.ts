import t, { type Test } from 'tap'
import assert from 'node:assert/strict'
import net from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import knexFactory, { type Knex } from 'knex'
import fastifyTasks, { DatabaseBackend, task, type FastifyTasksOptions, type TaskResult } from 'fastify-tasks'
import { databases, type TestDatabase } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'

const note = () => task('note', async (_text: string) => {})

interface Built { app: FastifyInstance, note: ReturnType<typeof note>, enqueued: string[], count: () => Promise<number> }

async function build (test: Test, database: TestDatabase, options: FastifyTasksOptions = {}): Promise<Built> {
  const app = Fastify({ forceCloseConnections: true })
  const own = note()
  const enqueued: string[] = []
  await app.register(fastifyTasks, { env: false, tasks: [own], backends: { default: { url: database.url } }, ...options })
  app.tasks.addHook('onEnqueued', (result) => { enqueued.push(result.id) })
  test.teardown(async () => { await app.close() })
  return { app, note: own, enqueued, count: async () => (await app.tasks.list()).results.length }
}

for (const { name, open } of databases) {
  t.test(name, async (t) => {
    const database = await open()
    t.teardown(async () => { await database.close() })
    const config = { tasks: { transaction: true } }

    t.test("the route's writes and its enqueues commit together, before the reply leaves", async (t) => {
      const { app, note, count, enqueued } = await build(t, database)
      const before = await count()
      let result: TaskResult | undefined
      let seen = -1
      app.addHook('onSend', async () => { seen = await count() - before })
      app.post('/', { config }, async (request) => {
        const trx = await request.tasks.transaction()
        assert.equal(trx, await request.tasks.transaction(), 'one a request')
        await trx.schema.createTable('own', (table) => { table.integer('id') })
        await trx('own').insert({ id: 1 })
        result = request.tasks.enqueue(note, 'in it')
        const also = await note.using({ transaction: trx }).enqueue('in it as well')
        assert.equal(enqueued.length, 0, 'not before the commit')
        assert.equal(also.status, 'READY')
        return {}
      })
      t.equal((await app.inject({ method: 'POST', url: '/', payload: { a: 1 } })).statusCode, 200)
      t.equal(seen, 2)
      await eventually(() => { assert.equal(enqueued.length, 2) })
      await result?.refresh()
      t.ok(result?.enqueuedAt)
    })

    t.test('a request that fails rolls back', async (t) => {
      const { app, note, count, enqueued } = await build(t, database)
      const before = await count()
      app.get('/:how', { config }, async (request, reply) => {
        const { how } = request.params as { how: string }
        const trx = await request.tasks.transaction()
        await trx('own').insert({ id: 2 })
        request.tasks.enqueue(note, 'x')
        await note.using({ transaction: trx }).enqueue('y')
        if (how === 'throws') throw Object.assign(new Error('no'), { statusCode: 400 })
        return await reply.code(500).send({})
      })
      for (const how of ['throws', 'sends']) t.not((await app.inject(`/${how}`)).statusCode, 200)
      await app.tasks.flushed()
      t.equal(await count(), before)
      t.same(enqueued, [])
    })

    t.test('a failed commit is a 503 and stores nothing', async (t) => {
      const { app, note, count } = await build(t, database)
      const before = await count()
      app.get('/', { config }, async (request) => {
        const trx = await request.tasks.transaction()
        request.tasks.enqueue(note, 'x')
        const backend = app.tasks.backend() as DatabaseBackend
        if (backend.store.dialect === 'sqlite') {
          await trx.raw('PRAGMA defer_foreign_keys = ON')
          await trx.raw('CREATE TABLE parent (id integer primary key)')
          await trx.raw('CREATE TABLE child (parent integer REFERENCES parent (id))')
          await trx.raw('INSERT INTO child VALUES (7)')
        } else {
          await trx.raw('CREATE TABLE parent (id int primary key)')
          await trx.raw('CREATE TABLE child (parent int REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)')
          await trx.raw('INSERT INTO child VALUES (7)')
        }
        return {}
      })
      const response = await app.inject('/')
      t.equal(response.statusCode, 503)
      t.equal(response.json().code, 'FST_TASKS_COMMIT_FAILED')
      await app.tasks.flushed()
      t.equal(await count(), before)
      t.equal((await app.inject('/')).statusCode, 503, 'and the database goes on')
    })

    t.test('a client that is gone rolls back', async (t) => {
      const { app, note, count } = await build(t, database)
      const before = await count()
      let begun = (): void => {}
      let gone = (): void => {}
      const hasBegun = new Promise<void>((resolve) => { begun = resolve })
      const isGone = new Promise<void>((resolve) => { gone = resolve })
      app.get('/', { config }, async (request) => {
        await request.tasks.transaction()
        request.tasks.enqueue(note, 'x')
        begun()
        await isGone
        return {}
      })
      await app.listen({ port: 0, host: '127.0.0.1' })
      app.server.once('connection', (socket) => { socket.once('close', gone) })
      const socket = net.connect((app.server.address() as net.AddressInfo).port, '127.0.0.1')
      socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n')
      await hasBegun
      socket.destroy()
      await isGone
      await app.tasks.flushed()
      t.equal(await count(), before)
      await app.tasks.enqueue(note, 'the writer is free again')
    })

    t.test('an enqueue past the open transaction is refused where it would wait for itself', async (t) => {
      const { app, note } = await build(t, database)
      const single = (app.tasks.backend() as DatabaseBackend).store.single
      app.post('/', { config }, async (request) => {
        await new Promise((resolve) => { setImmediate(resolve) })
        await request.tasks.transaction()
        if (single) {
          await assert.rejects(app.tasks.enqueue(note, 'x'), { code: 'FST_TASKS_TRANSACTION_OPEN' })
          await assert.rejects(note.enqueue('x'), { code: 'FST_TASKS_TRANSACTION_OPEN' })
          await assert.rejects(app.tasks.pause('default'), { code: 'FST_TASKS_TRANSACTION_OPEN' })
        } else {
          await app.tasks.enqueue(note, 'x')
          const keyed = note.using({ uniqueKey: `k-${request.id}` })
          await keyed.using({ transaction: await request.tasks.transaction() }).enqueue('first')
          await assert.rejects(keyed.enqueue('second'), { code: 'FST_TASKS_TRANSACTION_OPEN' })
        }
        await app.tasks.list()
        return {}
      })
      app.post('/opened-in-a-hook', { config, preHandler: async (request) => { await app.tasks.list(); await request.tasks.transaction() } }, async () => {
        if (single) await assert.rejects(app.tasks.enqueue(note, 'x'), { code: 'FST_TASKS_TRANSACTION_OPEN' })
        return {}
      })
      const late: string[] = []
      app.addHook('onResponse', async () => { late.push((await app.tasks.enqueue(note, 'after the commit')).status) })
      t.equal((await app.inject({ method: 'POST', url: '/', payload: { a: 1 } })).statusCode, 200)
      await eventually(() => { assert.deepEqual(late, ['READY']) })
      t.equal((await app.inject({ method: 'POST', url: '/opened-in-a-hook', payload: { a: 1 } })).statusCode, 200)
      await eventually(() => { assert.deepEqual(late, ['READY', 'READY']) })
    })

    t.test('another request is not in the way, and waits its turn', async (t) => {
      const { app, note, count } = await build(t, database)
      const before = await count()
      app.get('/', { config }, async (request) => {
        const trx = await request.tasks.transaction()
        await trx.raw('SELECT 1')
        request.tasks.enqueue(note, 'x')
        return {}
      })
      app.get('/plain', async () => (await app.tasks.enqueue(note, 'y')).id)
      const replies = await Promise.all(Array.from({ length: 20 }, async (_, index) => await app.inject(index % 2 === 0 ? '/' : '/plain')))
      t.ok(replies.every(({ statusCode }) => statusCode === 200))
      t.equal(await count(), before + 20)
    })

    t.test('a hijacked reply commits by flush(), and rolls back without', async (t) => {
      const { app, note, count } = await build(t, database)
      const before = await count()
      app.get('/:flush', { config }, async (request, reply) => {
        reply.hijack()
        await request.tasks.transaction()
        request.tasks.enqueue(note, 'x')
        if ((request.params as { flush: string }).flush === 'yes') await request.tasks.flush()
        reply.raw.end('x')
      })
      await app.inject('/no')
      await app.tasks.flushed()
      t.equal(await count(), before)
      await app.inject('/yes')
      t.equal(await count(), before + 1)
    })

    t.test('a backend without transactions refuses, and so does a route that has not said so', async (t) => {
      const { app } = await build(t, database, { backends: { default: { url: database.url }, memory: { backend: 'immediate' } } })
      app.get('/', { config: { tasks: { transaction: 'memory' } } }, async (request) => { await request.tasks.transaction() })
      t.throws(() => app.get('/bad', { config: { tasks: { transaction: 'nope' } } }, async () => {}), { code: 'FST_TASKS_INVALID_BACKEND' })
      t.throws(() => app.get('/bad', { config: { tasks: { transaction: 3 as unknown as boolean } } }, async () => {}), { code: 'FST_TASKS_INVALID_CONFIG' })
      t.throws(() => app.get('/bad', { config: { tasks: { flushOn: 'never' as unknown as 'onSend' } } }, async () => {}), { code: 'FST_TASKS_INVALID_CONFIG' })
      t.throws(() => app.get('/bad', { config: { tasks: { flush: true } as unknown as { flushOn: 'onSend' } } }, async () => {}), { code: 'FST_TASKS_INVALID_CONFIG', message: /flush/ })
      t.equal((await app.inject('/')).json().code, 'FST_TASKS_UNSUPPORTED')
    })

    t.test("a transaction of the app's own Knex instance carries enqueues; nested ones too", async (t) => {
      const { note, enqueued } = await build(t, database)
      const knex = knexFor(database)
      t.teardown(async () => { await knex.destroy() })
      const results: TaskResult[] = []
      await knex.transaction(async (trx) => {
        results.push(await note.using({ transaction: trx }).enqueue('kept'))
        await trx.transaction(async (nested) => {
          results.push(await note.using({ transaction: nested }).enqueue('rolled back'))
          throw new Error('no')
        }).catch(() => {})
        await trx.transaction(async (nested) => { results.push(...await note.using({ transaction: nested }).enqueueMany([['kept as well'], ['and this']])) })
        t.same(enqueued, [])
      })
      await knex.transaction(async (trx) => {
        results.push(await note.using({ transaction: trx }).enqueue('rolled back'))
        throw new Error('no')
      }).catch(() => {})
      const [kept, lost, more, evenMore, gone] = results as [TaskResult, TaskResult, TaskResult, TaskResult, TaskResult]
      await eventually(() => { assert.deepEqual([...enqueued].sort(), [kept.id, more.id, evenMore.id].sort()) })
      await t.rejects(lost.refresh(), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
      await t.rejects(gone.refresh(), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
      await more.refresh()
      const trx = await knex.transaction()
      await trx.rollback()
      await t.rejects(note.using({ transaction: trx }).enqueue('x'), { code: 'FST_TASKS_TRANSACTION_MISMATCH' })
    })

    t.test("the app's own Knex instance is shared, carries a route's transaction, and is not closed", async (t) => {
      const knex = knexFor(database)
      t.teardown(async () => { await knex.destroy() })
      const { app, note, count } = await build(t, database, { backends: { default: { knex } } })
      const before = await count()
      app.get('/', { config }, async (request) => {
        const trx = await request.tasks.transaction()
        await trx.raw('SELECT 1')
        request.tasks.enqueue(note, 'x')
        return {}
      })
      t.equal((await app.inject('/')).statusCode, 200)
      await knex.transaction(async (trx) => { await note.using({ transaction: trx }).enqueue('y') })
      await note.enqueue('z')
      t.equal(await count(), before + 3)
      await app.close()
      t.ok(await knex.raw('SELECT 1'))
    })

    t.test('with one connection in all, an enqueue past the transaction is refused on any database', async (t) => {
      const knex = knexFor(database, { min: 0, max: 1 })
      t.teardown(async () => { await knex.destroy() })
      const { app, note } = await build(t, database, { backends: { default: { knex } } })
      app.get('/', { config }, async (request) => {
        await request.tasks.transaction()
        await assert.rejects(note.enqueue('x'), { code: 'FST_TASKS_TRANSACTION_OPEN' })
        return {}
      })
      t.equal((await app.inject('/')).statusCode, 200)
    })

    t.test('a transaction of another database is refused', async (t) => {
      const { app, note } = await build(t, database)
      const other = await open()
      const knex = knexFor(other)
      t.teardown(async () => { await knex.destroy(); await other.close() })
      const trx = await knex.transaction()
      await t.rejects(app.tasks.enqueue(note.using({ transaction: trx }), 'x'), { code: 'FST_TASKS_TRANSACTION_MISMATCH' })
      await trx.rollback()
    })
  })
}

function knexFor ({ url }: TestDatabase, pool?: Knex.PoolConfig): Knex {
  return url.startsWith('sqlite:')
    ? knexFactory({ client: 'sqlite3', connection: { filename: url.slice('sqlite:'.length) }, useNullAsDefault: true })
    : knexFactory({ client: 'pg', connection: url, ...(pool !== undefined && { pool }) })
}
