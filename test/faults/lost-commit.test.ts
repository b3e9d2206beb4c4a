import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { leavesUnsure } from '#lib/store/faults.js'
import { databases } from '../support/databases.ts'
import { TcpProxy } from './tcp-proxy.ts'

// A COMMIT that the server has done, and whose answer never came: what the app is told must be what holds.

const postgres = databases.find(({ name }) => name === 'postgres')

const note = task('note', async (_index: number) => 'noted')
let beforeCommit = (): void => {}
const booked = task('booked', { takesContext: true, retry: { limit: 2, delay: 0 } }, async (context) => await context.transaction(async (trx) => {
  await trx('effects').insert({ id: context.taskResult.id })
  beforeCommit()
  return 'booked'
}))

interface Setting { readonly app: FastifyInstance, readonly proxy: TcpProxy, readonly cuts: () => number, readonly lose: (pattern: RegExp) => void, readonly count: () => Promise<number> }

async function setting (t: Test): Promise<Setting> {
  const database = await (postgres as NonNullable<typeof postgres>).open()
  const url = new URL(database.url)
  const proxy = await TcpProxy.open({ host: url.hostname, port: Number(url.port) })
  url.port = String(proxy.port)
  url.hostname = '127.0.0.1'
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await proxy.close()
    await database.close()
  })
  await app.register(fastifyTasks, { tasks: [note, booked], env: false, flushOn: 'onSend', backends: { default: { backend: 'database', url: url.href } } })
  app.get('/collected', async (request) => { request.tasks.enqueue(note, 1); return {} })
  app.get('/transaction', { config: { tasks: { transaction: true } } }, async (request) => {
    const trx = await request.tasks.transaction()
    await trx('effects').insert({ id: 'route' })
    request.tasks.enqueue(note, 1)
    return {}
  })
  app.get('/alone', { config: { tasks: { transaction: true } } }, async (request) => {
    await (await request.tasks.transaction())('effects').insert({ id: 'alone' })
    return {}
  })
  await app.ready()
  let cuts = 0
  return { app, proxy, cuts: () => cuts, lose: (pattern) => { proxy.loseReplyTo(pattern, () => { cuts += 1 }) }, count: async () => (await app.tasks.list({ limit: 1_000 })).results.length }
}

async function effects (app: FastifyInstance, change?: 'create'): Promise<number> {
  const { store } = app.tasks.backend() as unknown as { store: { begin: () => Promise<{ transaction: import('knex').Knex.Transaction, commit: () => Promise<void> }> } }
  const { transaction, commit } = await store.begin()
  if (change === 'create') await transaction.raw('DROP TABLE IF EXISTS effects; CREATE TABLE effects (id text)')
  const [row] = await transaction('effects').count({ count: '*' })
  await commit()
  return Number(row?.['count'])
}

if (postgres === undefined) t.pass('TASKS_TEST_ONLY leaves this out')
else {
  t.test('more rows than a statement carries are stored once', async (t) => {
    const { app, cuts, lose } = await setting(t)
    lose(/COMMIT/i)
    const results = await app.tasks.enqueueMany(note, Array.from({ length: 1_500 }, (_, index) => [index]))
    t.equal(cuts(), 1)
    t.equal(results.length, 1_500)
    const { queues } = await app.tasks.stats()
    t.equal(queues['default']?.ready, 1_500)
  })

  t.test('what a request collected is stored once, and its client is told so', async (t) => {
    const { app, cuts, lose, count } = await setting(t)
    lose(/INSERT INTO \S*tasks_results/)
    t.equal((await app.inject('/collected')).statusCode, 200)
    t.same([cuts(), await count()], [1, 1])
  })

  t.test("a route's transaction that took effect is answered as such", async (t) => {
    const { app, cuts, lose, count } = await setting(t)
    await effects(app, 'create')
    lose(/COMMIT/i)
    t.equal((await app.inject('/transaction')).statusCode, 200)
    t.same([cuts(), await count(), await effects(app)], [1, 1, 1])
  })

  t.test("where nobody can say, a route's client is told that nobody can", async (t) => {
    const { app, cuts, lose } = await setting(t)
    await effects(app, 'create')
    lose(/COMMIT/i)
    const response = await app.inject('/alone')
    t.equal(cuts(), 1)
    t.match(response.json(), { statusCode: 503, code: 'FST_TASKS_COMMIT_FAILED', message: /may be stored or not/ })
    t.equal(await effects(app), 1, 'and it was')
  })

  t.test("a task's transaction has its effect once, and its success stands", async (t) => {
    const { app, cuts, lose } = await setting(t)
    await effects(app, 'create')
    const result = await app.tasks.enqueue(booked)
    beforeCommit = () => { lose(/COMMIT/i) }
    await createWorker(app, { batch: true }).run()
    await result.refresh()
    t.match(result, { status: 'SUCCESSFUL', returnValue: 'booked' })
    t.same([cuts(), await effects(app)], [1, 1])
  })

  t.test('cancel and retry answer true where they took effect', async (t) => {
    const { app, cuts, lose } = await setting(t)
    const [first, second] = await app.tasks.enqueueMany(note, [[1], [2]]) as [Awaited<ReturnType<typeof note.enqueue>>, Awaited<ReturnType<typeof note.enqueue>>]
    lose(/COMMIT/i)
    t.equal(await first.cancel(), true)
    lose(/cancel_at = coalesce/)
    t.equal(await app.tasks.cancel({ status: 'READY' }), 1)
    await second.refresh()
    t.equal(second.status, 'CANCELLED')
    lose(/prior_attempts = /)
    t.equal(await first.retry(), true)
    await first.refresh()
    t.equal(first.status, 'READY')
    t.equal(cuts(), 3)
    t.equal(await first.retry(), false, 'and false where there is nothing to put back')
  })
}

t.test('which errors leave open whether a commit took effect', async (t) => {
  for (const code of ['NO_ANSWER', 'ECONNRESET', 'EPIPE', '08006', '57P01', '40003', '58030', 'SQLITE_IOERR_FSYNC']) t.equal(leavesUnsure({ code }), true, code)
  for (const code of ['ECONNREFUSED', '57P03', '40001', '40P01', '25P02', '23503', '53100', '55P03', '57014', 'SQLITE_BUSY', 'SQLITE_FULL']) t.equal(leavesUnsure({ code }), false, code)
  t.equal(leavesUnsure(new Error('Connection terminated unexpectedly')), true)
  t.equal(leavesUnsure(new Error('of the app')), false)
})
