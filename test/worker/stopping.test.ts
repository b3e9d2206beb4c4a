import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { task } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { faultyStore } from 'fastify-tasks/testing'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { gate, setting } from './setting.ts'

for (const database of databases) {
  t.test(database.name, async (t) => {
    t.test('run() is once; stop() may be called by many, and before run()', async (t) => {
      const { app, start } = await setting(t, database, [])
      const { worker, ended } = start()
      await t.rejects(worker.run(), { code: 'FST_TASKS_WORKER_RUNNING' })
      await Promise.all([worker.stop(), worker.stop()])
      await ended
      await worker.stop()
      const unused = createWorker(app)
      await unused.stop()
    })

    t.test('maxTasks counts attempts, and what is beyond stays ready', async (t) => {
      const note = task('note', async () => {})
      const { app, start } = await setting(t, database, [note])
      await app.tasks.enqueueMany(note, Array.from({ length: 10 }, () => []))
      await start({ maxTasks: 4, concurrency: 3 }).ended
      t.match(await app.tasks.stats(), { queues: { default: { ready: 6, running: 0 } }, workers: { length: 0 } })
    })

    t.test('app.close() stops the workers made on it: what runs gets its grace, and is then handed back', async (t) => {
      let aborted: unknown
      const [started, patient] = [gate(), gate()]
      const long = task('long', { takesContext: true }, async ({ signal }) => {
        started.open()
        await sleep(60_000, undefined, { signal }).catch(() => { aborted = signal.reason })
        throw new Error('ended early')
      })
      const short = task('short', async () => { patient.open(); await sleep(100); return 'done' })
      const { app, start, url } = await setting(t, database, [long, short])
      const [first, second] = [await app.tasks.enqueue(long), await app.tasks.enqueue(short)]
      const { ended } = start({ shutdownGrace: 300 })
      await Promise.all([started.opened, patient.opened])
      await app.close()
      await ended
      t.match(aborted, { code: 'FST_TASKS_SHUTDOWN' })
      const { openStore } = await import('#lib/store/index.js')
      const store = openStore({ url })
      t.teardown(async () => { await store.close() })
      t.match(await store.get(first.id), { status: 'READY', attempts: 0, errors: { length: 0 } })
      t.match(await store.get(second.id), { status: 'SUCCESSFUL', attempts: 1 })
      t.same((await store.stats('default')).workers, [])
    })

    t.test('an attempt that goes on after its commit is aborted like the others, and keeps no worker from stopping', async (t) => {
      let reason: unknown
      const committed = gate()
      const endless = task('endless', { takesContext: true, timeoutGrace: 50 }, async (context) => {
        context.signal.addEventListener('abort', () => { reason = context.signal.reason })
        await context.transaction(async () => 'written')
        committed.open()
        await new Promise(() => {})
      })
      const { app, start } = await setting(t, database, [endless])
      const result = await app.tasks.enqueue(endless)
      const { worker } = start({ shutdownGrace: 0 })
      await committed.opened
      await worker.stop()
      t.match(reason, { code: 'FST_TASKS_SHUTDOWN' })
      await result.refresh()
      t.match(result, { status: 'SUCCESSFUL', attempts: 1, returnValue: 'written' })
      t.same((await app.tasks.stats()).workers, [])
    })

    t.test('a serializer that never answers keeps no worker from stopping: its task is handed back', async (t) => {
      const asked = gate()
      const note = task('note', async () => {})
      const encode = (value: unknown): string => JSON.stringify(value)
      const decode = async (): Promise<never> => { asked.open(); return await new Promise(() => {}) }
      const { app, start, backend } = await setting(t, database, [note], { serializer: { encode, decode } })
      const { id } = await app.tasks.enqueue(note)
      const { worker } = start({ shutdownGrace: 0 })
      await asked.opened
      await worker.stop()
      t.match(await backend.store.get(id), { status: 'READY', attempts: 0 })
    })

    t.test('a worker that is stopped while it registers anew leaves none behind', async (t) => {
      const [asked, answered] = [gate(), gate()]
      const { app, start, backend } = await setting(t, database, [task('note', async () => {})])
      const { worker } = start({ lease: 6_000 })
      await eventually(() => { assert.ok(worker.id) })
      const { store } = backend
      const register = store.register.bind(store)
      store.register = async (row) => {
        await register(row)
        asked.open()
        await answered.opened
      }
      await store.renew(worker.id as string, { leaseMs: -1, running: 0 })
      await asked.opened
      const stopped = worker.stop()
      answered.open()
      await stopped
      t.same((await app.tasks.stats()).workers.filter(({ id }) => id !== worker.id), [])
    })

    t.test('the end of a task that was handed back is told once, by whoever brought it about', async (t) => {
      const started = gate()
      let first = true
      const held = task('held', { takesContext: true }, async ({ signal }) => {
        if (!first) return 'done'
        first = false
        started.open()
        await sleep(60_000, undefined, { signal })
      })
      const { app, backend, start, drain } = await setting(t, database, [held])
      const { store } = backend
      const faulty = faultyStore(store, { slowMs: 1_000 })
      Object.defineProperty(backend, 'store', { value: faulty.store, configurable: true })
      faulty.arm('release', 1, 'slow') // it takes effect, and is answered when another has run the task
      const told: string[] = []
      app.tasks.addHook('onFinished', async ({ id }) => { told.push(id) })
      const result = await app.tasks.enqueue(held)
      const { worker, ended } = start({ shutdownGrace: 0 })
      await started.opened
      const stopped = worker.stop()
      await eventually(async () => { assert.equal((await store.get(result.id))?.status, 'READY') })
      Object.defineProperty(backend, 'store', { value: store })
      await drain()
      await result.refresh()
      t.equal(result.status, 'SUCCESSFUL')
      await stopped
      await ended
      await sleep(50) // for what is told after the answer
      t.same(told, [result.id])
    })

    t.test('a worker claims nothing more while an attempt ignores its signal, and goes on when it has settled', async (t) => {
      const over = gate()
      let attempts = 0
      const deaf = task('deaf', { timeout: 500, timeoutGrace: 50, retry: { limit: 1, delay: 0 } }, async () => {
        attempts += 1
        if (attempts === 1) await over.opened
        return attempts
      })
      const note = task('note', async () => {})
      const { app, start, lines } = await setting(t, database, [deaf, note])
      const first = await app.tasks.enqueue(deaf)
      start({ interval: 50 })
      await eventually(() => { assert.ok(lines.some(({ msg }) => msg.startsWith('an attempt ignores its signal')), 'not yet') })
      const second = await app.tasks.enqueue(note)
      await sleep(300)
      await Promise.all([first.refresh(), second.refresh()])
      t.match(first, { status: 'RUNNING', attempts: 1 }, 'never two attempts at once')
      t.match(second, { status: 'READY', attempts: 0 })
      over.open()
      await Promise.all([first.wait(), second.wait()])
      t.match(first, { status: 'SUCCESSFUL', attempts: 2, errors: [{ code: 'FST_TASKS_TIMEOUT' }] })
    })

    t.test('an attempt that never settles has failed all the same, and the worker can be stopped', async (t) => {
      const hang = task('hang', { timeout: 50, timeoutGrace: 50 }, async () => { await new Promise(() => {}) })
      const { app, start, drain } = await setting(t, database, [hang])
      const [first, second] = [await app.tasks.enqueue(hang), await app.tasks.enqueue(hang)]
      await drain()
      await Promise.all([first.refresh(), second.refresh()])
      t.match([first, second], [{ status: 'FAILED', errors: [{ code: 'FST_TASKS_TIMEOUT' }] }, { status: 'FAILED' }])
      const third = await app.tasks.enqueue(hang)
      const { worker } = start()
      await third.wait()
      await worker.stop()
      t.same((await app.tasks.stats()).workers, [])
    })
  })
}
