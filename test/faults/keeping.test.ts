import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import knexFactory from 'knex'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { openStore } from '#lib/store/index.js'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { TcpProxy } from './tcp-proxy.ts'

// A lease must not be lost for anything but silence between a worker and its database.

const LOCKED_MS = 7_500 // a lease as well; half of the time that a call has
const LEASE_MS = 12_000 // long enough for a busy machine to try a renewal twice
const postgres = databases.find(({ name }) => name === 'postgres')

interface Setting { readonly app: FastifyInstance, readonly proxy: TcpProxy, readonly direct: string, readonly remarks: string[] }

const running = new Set<string>()
let overlaps = 0

const nap = task('nap', { takesContext: true }, async ({ signal, taskResult: { id } }, milliseconds: number) => {
  if (running.has(id)) overlaps += 1
  running.add(id)
  try {
    await sleep(milliseconds, undefined, { signal })
  } finally {
    running.delete(id)
  }
  return milliseconds
})

async function open (t: Test, leaseMs: number): Promise<Setting> {
  const database = await (postgres as NonNullable<typeof postgres>).open()
  const target = new URL(database.url)
  const proxy = await TcpProxy.open({ host: target.hostname, port: Number(target.port) })
  const url = new URL(database.url)
  url.port = String(proxy.port)
  url.hostname = '127.0.0.1'
  const remarks: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line) => { remarks.push(String((JSON.parse(line) as { msg: string }).msg)) } } } })
  t.teardown(async () => {
    proxy.heal()
    await app.close()
    await proxy.close()
    await database.close()
  })
  await app.register(fastifyTasks, { tasks: [nap], env: false, backends: { default: { backend: 'database', url: url.href } } })
  await app.ready()
  const worker = createWorker(app, { lease: leaseMs, sweep: 300, interval: 100 })
  void worker.run()
  return { app, proxy, direct: database.url, remarks }
}

t.jobs = 3

const sqlite = databases.find(({ name }) => name === 'sqlite')

if (sqlite !== undefined) {
  t.test('who holds the write lock of SQLite for longer than the lease costs a fresh start, and never two at once', async (t) => {
    const database = await sqlite.open()
    const remarks: string[] = []
    const apps: FastifyInstance[] = []
    while (apps.length < 2) {
      const app = Fastify({ logger: { level: 'warn', stream: { write: (line) => { remarks.push(String((JSON.parse(line) as { msg: string }).msg)) } } } })
      await app.register(fastifyTasks, { tasks: [nap], env: false, backends: { default: { backend: 'database', url: database.url, options: { crashBudget: 10 } } } })
      await app.ready()
      apps.push(app)
    }
    const [app] = apps as [FastifyInstance]
    const other = knexFactory({ client: 'sqlite3', connection: { filename: database.url.slice('sqlite:'.length) }, useNullAsDefault: true })
    t.teardown(async () => {
      for (const app of apps) await app.close()
      await other.destroy()
      await database.close()
    })
    const results = await app.tasks.enqueueMany(nap, Array.from({ length: 4 }, () => [1_500]))
    for (const app of apps) void createWorker(app, { lease: 1_000, sweep: 100, interval: 50, concurrency: 2 }).run()
    const alive = (): number => results.filter(({ id }) => running.has(id)).length
    await eventually(() => { assert.equal(alive(), 4) })
    const connection = await other.client.acquireConnection()
    await other.raw('PRAGMA busy_timeout = 10000').connection(connection)
    await other.raw('BEGIN IMMEDIATE').connection(connection)
    await sleep(2_500)
    t.equal(alive(), 0, 'attempts ended before their lease had')
    await other.raw('ROLLBACK').connection(connection)
    await other.client.releaseConnection(connection)
    for (const result of results) t.match(await result.wait({ timeout: '90s' }), { status: 'SUCCESSFUL', returnValue: 1_500 })
    t.equal(overlaps, 0)
    t.ok(remarks.some((remark) => /lease is lost/.test(remark)))
  })
}

if (postgres === undefined) t.pass('TASKS_TEST_ONLY leaves this out')
else {
  t.test("a half-open connection of the keeper's costs no lease: it is given up in time for another", async (t) => {
    const { app, proxy, remarks } = await open(t, LEASE_MS)
    const result = await app.tasks.enqueue(nap, LEASE_MS)
    let stalled = 0
    proxy.stallReplyTo(/SET lease_until = \(SELECT/, () => { stalled += 1 })
    await result.wait()
    t.match(result, { status: 'SUCCESSFUL', attempts: 1, errors: { length: 0 } })
    t.equal(stalled, 1, 'a renewal went unanswered')
    t.notOk(remarks.some((remark) => /lease is lost/.test(remark)), remarks.join('; '))
  })

  t.test('whoever locks the results holds up enqueues and endings, and no lease; all goes on afterwards', async (t) => {
    const { app, direct, remarks } = await open(t, LOCKED_MS)
    const result = await app.tasks.enqueue(nap, 3_000)
    await eventually(async () => { await result.refresh(); assert.equal(result.status, 'RUNNING') })
    const other = openStore({ url: direct })
    t.teardown(async () => { await other.close() })
    await other.open()
    const holder = await other.begin()
    await holder.transaction.raw('LOCK TABLE tasks_results IN ACCESS EXCLUSIVE MODE')
    let stored = false
    const enqueued = app.tasks.enqueue(nap, 1).then((result) => { stored = true; return result })
    await sleep(LOCKED_MS)
    t.equal(stored, false, 'it waits for the lock')
    const { rows: [lease] } = await holder.transaction.raw('SELECT max(lease_until) - extract(epoch FROM clock_timestamp()) * 1000 AS left FROM tasks_workers')
    t.ok(Number(lease.left) > 0, 'the lease was renewed all the while')
    await holder.rollback()
    await (await enqueued).wait()
    await result.wait()
    t.match(result, { status: 'SUCCESSFUL', attempts: 1, errors: { length: 0 } })
    t.notOk(remarks.some((remark) => /lease is lost/.test(remark)), remarks.join('; '))
  })
}
