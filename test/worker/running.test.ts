import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import Fastify from 'fastify'
import { v7 as uuid } from 'uuid'
import fastifyTasks, { task, type TaskResult } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { gate, setting } from './setting.ts'

for (const database of databases) {
  t.test(database.name, async (t) => {
    t.test('a worker runs what is ready and records what came of it', async (t) => {
      const add = task('add', async (a: number, b: number) => a + b)
      const fail = task('fail', async () => { throw new RangeError('no') })
      const { app, drain } = await setting(t, database, [add, fail])
      const [sum, failed] = [await app.tasks.enqueue(add, 31, 11), await app.tasks.enqueue(fail)]
      await drain()
      await sum.refresh()
      t.match(sum, { status: 'SUCCESSFUL', returnValue: 42, attempts: 1, errors: { length: 0 }, workerIds: [String] })
      t.ok(sum.startedAt !== null && sum.finishedAt !== null && sum.startedAt <= sum.finishedAt)
      await failed.refresh()
      t.match(failed, { status: 'FAILED', attempts: 1, errors: [{ exceptionClass: 'RangeError', message: 'no', attempt: 1 }] })
    })

    t.test('tasks run by priority, then by when they are due, then in the order of their enqueues', async (t) => {
      const order: string[] = []
      const note = task('note', async (name: string) => { order.push(name) })
      const { app, drain } = await setting(t, database, [note])
      const soon = new Date(Date.now() - 50_000)
      await app.tasks.enqueueMany(note, [['c1'], ['c2'], ['c3']])
      await app.tasks.enqueue(note.using({ priority: -1 }), 'e')
      await app.tasks.enqueue(note.using({ priority: 5, queueName: 'other' }), 'a')
      await app.tasks.enqueue(note.using({ priority: 5 }), 'b')
      await app.tasks.enqueue(note.using({ runAfter: soon }), 'd')
      await app.tasks.enqueue(note.using({ runAfter: '1h' }), 'never')
      await drain({ concurrency: 1 })
      t.same(order, ['a', 'b', 'c1', 'c2', 'c3', 'd', 'e'])
    })

    t.test('an idle worker that is woken takes a priority first that it has never seen', async (t) => {
      const order: string[] = []
      const note = task('note', async (name: string) => { order.push(name) })
      const { app, backend, start } = await setting(t, database, [note])
      const { store } = backend
      let looks = 0
      for (const verb of ['lanes', 'claim'] as const) {
        const original = store[verb].bind(store) as (request: never) => Promise<never>
        Object.defineProperty(store, verb, { value: async (request: never) => { looks += 1; return await original(request) } })
      }
      const idle = async (): Promise<void> => await eventually(async () => {
        const before = looks
        await sleep(1_000)
        assert.equal(looks, before, 'it looks for nothing any more')
      })
      start({ concurrency: 1, interval: 60_000 })
      await (await app.tasks.enqueue(note, 'seen')).wait()
      const row = { backend: 'default', task: 'note', queue: 'default', runAfter: null, delay: null, options: null, tags: [], unique: null, maxReady: null }
      for (const priority of [1, 2, 3]) {
        await idle()
        await store.insert([{ ...row, id: uuid(), priority: 0, args: '["low"]' }, { ...row, id: uuid(), priority, args: '["high"]' }])
        await eventually(() => { assert.equal(order.length, 1 + 2 * priority, 'both have run') })
      }
      t.same(order, ['seen', 'high', 'low', 'high', 'low', 'high', 'low'])
    })

    t.test('what was claimed ahead and handed back keeps its place in the order', async (t) => {
      const order: number[] = []
      const note = task('note', async (place: number) => {
        order.push(place)
        if (place === 30) await sleep(400) // longer than a buffered row waits, and many are: those before were quick
      })
      const { app, drain, backend: { store } } = await setting(t, database, [note])
      const release = store.release.bind(store)
      store.release = async (...args) => { await sleep(400); return await release(...args) } // it is there again when that task has ended, and not before
      const places = Array.from({ length: 400 }, (_, place) => place)
      await app.tasks.enqueueMany(note, places.map((place) => [place]))
      await drain({ concurrency: 1 })
      t.same(order, places)
    })

    t.test('a worker takes from as many queues as there are', async (t) => {
      const queues = Array.from({ length: 501 }, (_, number) => `q${number}`)
      const note = task('note', async () => {})
      const { app, backend, drain } = await setting(t, database, [note])
      const row = { backend: 'default', task: 'note', priority: 0, runAfter: null, delay: null, args: '[]', options: null, tags: [], unique: null, maxReady: null }
      await backend.store.insert(queues.map((queue) => ({ ...row, id: uuid(), queue })))
      await drain()
      t.equal((await app.tasks.list({ status: 'SUCCESSFUL', limit: 1_000 })).results.length, queues.length)
    })

    t.test('a worker leaves queues alone that are not its own, paused ones, and names that it does not know', async (t) => {
      const note = task('note', async () => {})
      const { app, drain, backend } = await setting(t, database, [note])
      const results: Record<string, TaskResult> = {}
      for (const queueName of ['one', 'two', 'three', 'paused']) results[queueName] = await app.tasks.enqueue(note.using({ queueName }))
      await app.tasks.pause('paused')
      const id = '01900000-0000-7000-8000-000000000001'
      await backend.store.insert([{ id, backend: 'default', task: 'unknown', queue: 'one', priority: 100, runAfter: null, delay: null, args: '[]', options: null, tags: [], unique: null, maxReady: null }])
      await drain({ queueName: 'one,two,paused', excludeQueues: ['two'] })
      const statuses = await Promise.all(Object.values(results).map(async (result) => { await result.refresh(); return result.status }))
      t.same(statuses, ['SUCCESSFUL', 'READY', 'READY', 'READY'])
      t.match(await backend.store.get(id), { status: 'READY', attempts: 0 })
      await app.tasks.resume('paused')
      await drain()
      await results['paused']?.refresh()
      t.equal(results['paused']?.status, 'SUCCESSFUL')
    })

    t.test('a failure is retried as its rule says, and each thing is told once', async (t) => {
      let calls = 0
      const shaky = task('shaky', { retry: { limit: 3, delay: 0 } }, async () => {
        if (++calls < 3) throw new Error(`number ${calls}`)
        return 'done'
      })
      const { app, drain } = await setting(t, database, [shaky])
      const told: string[] = []
      for (const name of ['onStarted', 'onRetried', 'onFinished'] as const) app.tasks.addHook(name, async (result) => { told.push(`${name} ${result.status} ${result.attempts} ${result.errors.length}`) })
      const result = await app.tasks.enqueue(shaky)
      await drain()
      await result.refresh()
      t.match(result, { status: 'SUCCESSFUL', returnValue: 'done', attempts: 3, errors: [{ message: 'number 1' }, { message: 'number 2' }] })
      // In any order: what is put back without a delay may be claimed on one connection before the answer has come on the other.
      t.same(told.sort(), ['onFinished SUCCESSFUL 3 2', 'onRetried READY 1 1', 'onRetried READY 2 2', 'onStarted RUNNING 1 0', 'onStarted RUNNING 2 1', 'onStarted RUNNING 3 2'])
    })

    t.test('arguments that do not match the schema, or cannot be read, fail the task for good before it runs', async (t) => {
      let calls = 0
      const strict = task('strict', { retry: 5, schema: { type: 'array', items: [{ type: 'number' }] } }, async (_: number) => { calls += 1 })
      const { drain, backend, app } = await setting(t, database, [strict])
      const row = { backend: 'default', task: 'strict', queue: 'default', priority: 0, runAfter: null, delay: null, options: null, tags: [], unique: null, maxReady: null }
      const [misfit, garbage] = ['01900000-0000-7000-8000-000000000001', '01900000-0000-7000-8000-000000000002']
      await backend.store.insert([{ ...row, id: misfit, args: '["text"]' }, { ...row, id: garbage, args: '[' }])
      const finished: string[] = []
      app.tasks.addHook('onFinished', async ({ id }) => { finished.push(id) })
      await drain()
      t.match(await backend.store.get(misfit), { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_INVALID_SCHEMA' }] })
      t.match(await backend.store.get(garbage), { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_RESULT_UNREADABLE' }] })
      t.same(finished.sort(), [misfit, garbage])
      t.equal(calls, 0)
    })

    t.test('an enqueue wakes an idle worker, and so does the moment at which a task becomes due', async (t) => {
      const note = task('note', async () => Date.now())
      const { app, start } = await setting(t, database, [note])
      start({ interval: '1h', sweep: '1h' })
      await eventually(async () => { assert.equal((await app.tasks.stats()).workers.length, 1) })
      await sleep(50) // the worker has found nothing, and waits
      const now = await app.tasks.enqueue(note)
      t.equal((await now.wait({ timeout: 60_000 })).status, 'SUCCESSFUL')
      const later = await app.tasks.enqueue(note.using({ runAfter: 400 }))
      await later.wait({ timeout: 60_000 })
      t.ok(later.returnValue >= (later.runAfter as Date).getTime() - 1, 'and not before')
    })

    t.test('a running task that is cancelled hears of it within a second; a buffered one never runs', async (t) => {
      const started: string[] = []
      const long = task('long', { takesContext: true }, async ({ signal, taskResult }) => {
        started.push(taskResult.id)
        await sleep(60_000, undefined, { signal })
      })
      const { app, start } = await setting(t, database, [long])
      const finished: string[] = []
      app.tasks.addHook('onFinished', async ({ status, id }) => { finished.push(`${id} ${status}`) })
      const result = await app.tasks.enqueue(long)
      start()
      await eventually(() => { assert.equal(started.length, 1) })
      const begun = performance.now()
      t.equal(await result.cancel(), true)
      await result.wait()
      t.ok(performance.now() - begun < 8_000, 'a renewal, which would tell it as well, comes after ten seconds')
      t.match(result, { status: 'CANCELLED', attempts: 1 })
      await eventually(() => { assert.deepEqual(finished, [`${result.id} CANCELLED`]) })
    })

    t.test('context.transaction commits the ending with the writes, or neither', async (t) => {
      const paid = task('paid', { takesContext: true }, async (context, fails: boolean) => {
        return await context.transaction(async (trx) => {
          await trx('orders').insert({ name: context.taskResult.id })
          if (fails) throw new Error('not paid')
          return 'paid'
        })
      })
      const { app, drain, backend } = await setting(t, database, [paid])
      const write = await backend.store.begin()
      await write.transaction.schema.createTable('orders', (table) => { table.text('name') })
      await write.commit()
      const [good, bad] = [await app.tasks.enqueue(paid, false), await app.tasks.enqueue(paid, true)]
      const finished: string[] = []
      app.tasks.addHook('onFinished', async ({ status, id }) => { finished.push(`${id} ${status}`) })
      await drain()
      await good.refresh()
      await bad.refresh()
      t.match(good, { status: 'SUCCESSFUL', returnValue: 'paid' })
      t.match(bad, { status: 'FAILED', errors: [{ message: 'not paid' }] })
      const read = await backend.store.begin()
      t.same(await read.transaction('orders').select('name'), [{ name: good.id }])
      await read.rollback()
      await eventually(() => { assert.deepEqual([...finished].sort(), [`${good.id} SUCCESSFUL`, `${bad.id} FAILED`].sort()) })
      t.match(await backend.store.stats('default'), { queues: {} })
    })

    t.test('progress is stored while the task runs', async (t) => {
      const [reported, over] = [gate(), gate()]
      const steps = task('steps', { takesContext: true }, async (context) => {
        await context.progress({ done: 3 })
        reported.open()
        await over.opened
      })
      const { app, start } = await setting(t, database, [steps])
      const result = await app.tasks.enqueue(steps)
      start()
      await reported.opened
      await result.refresh()
      t.match(result, { status: 'RUNNING', progress: { done: 3 } })
      over.open()
      await result.wait()
    })
  })
}

t.test('a worker is refused where there is nothing for it to run, or with options that make no sense', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  t.throws(() => createWorker(app), { code: 'FST_TASKS_INVALID_OPTION' })
  await app.register(fastifyTasks, { env: false })
  await app.ready()
  t.throws(() => createWorker(app), { code: 'FST_TASKS_INVALID_OPTION', message: /no database backend/ })
  t.throws(() => createWorker(app, { backend: 'nowhere' }), { code: 'FST_TASKS_INVALID_BACKEND' })
  t.throws(() => createWorker(app, { concurrency: 1.5 }), { code: 'FST_TASKS_INVALID_OPTION', message: /^concurrency/ })
  t.throws(() => createWorker(app, { processes: 2 }), { code: 'FST_TASKS_INVALID_OPTION', message: /^processes/ })
  t.throws(() => createWorker(app, { colour: 'red' } as any), { code: 'FST_TASKS_INVALID_OPTION', message: /^colour/ })
})
