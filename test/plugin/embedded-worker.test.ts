import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task, type FastifyTasksOptions } from 'fastify-tasks'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'

const add = () => task('math.add', async (a: number, b: number) => a + b)

async function build (test: Test, options: FastifyTasksOptions): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(fastifyTasks, { env: false, ...options })
  test.teardown(async () => { await app.close() })
  return app
}

for (const { name, open } of databases) {
  t.test(`a worker runs inside the server once it listens, and ends with it, on ${name}`, async (t) => {
    const database = await open()
    t.teardown(async () => { await database.close() })
    const own = add()
    const app = await build(t, { tasks: [own], worker: { interval: 50, concurrency: 2 }, backends: { default: { url: database.url } } })
    const result = await own.enqueue(1, 2)
    await app.inject('/')
    t.same((await app.tasks.stats()).workers, [], 'not in an app that only injects')
    await app.listen({ port: 0, host: '127.0.0.1' })
    await result.wait()
    t.equal(result.returnValue, 3)
    t.match(await app.tasks.health(), { ok: true, reasons: { length: 0 } })
    t.equal((await app.tasks.stats()).workers.length, 1)
    await app.close()
    const reader = await build(t, { backends: { default: { url: database.url } } })
    t.same((await reader.tasks.stats()).workers, [], 'it has signed off')
  })
}

for (const { name, open } of databases) {
  t.test(`a task that waits for the close of its own app fails, and is not handed on to close another one, on ${name}`, async (t) => {
    const database = await open()
    t.teardown(async () => { await database.close() })
    let closed: Promise<void> | undefined
    const waits = task('waits', { takesContext: true, timeoutGrace: 20, retry: 3 }, async (context) => { await (closed = context.app.close() as unknown as Promise<void>) })
    const goes = task('goes', { takesContext: true }, async (context) => { void context.app.close() })
    const options = { worker: { interval: 50, shutdownGrace: 100 }, backends: { default: { url: database.url } } }
    const app = await build(t, { tasks: [waits], ...options })
    const waiting = await waits.enqueue()
    await app.listen({ port: 0, host: '127.0.0.1' })
    await eventually(() => { assert.ok(closed) })
    await closed
    const second = await build(t, { tasks: [goes], ...options })
    const going = await goes.enqueue()
    t.match(await second.tasks.getResult(waiting.id), { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_UNSUPPORTED', message: /app\.close\(\)/ }] })
    const ended = going.wait()
    await second.listen({ port: 0, host: '127.0.0.1' })
    await ended.catch(() => {}) // the app may close first
    const reader = await build(t, { backends: { default: { url: database.url } } })
    t.match(await reader.tasks.getResult(going.id), { status: 'SUCCESSFUL', attempts: 1 }, 'one that does not wait for it ends as it would have')
  })
}

for (const { name, open } of databases) {
  for (const first of ['a task', 'somebody else'] as const) {
    t.test(`where ${first} closes the app first, each task that waits for the close fails all the same, on ${name}`, async (t) => {
      const database = await open()
      t.teardown(async () => { await database.close() })
      let running = 0
      const calls: Array<Promise<void>> = []
      let closing = (): void => {}
      const closed = new Promise<void>((resolve) => { closing = resolve })
      const waits = task('waits', { takesContext: true, timeoutGrace: 50, retry: 3 }, async ({ app }) => {
        running += 1
        await closed
        calls.push(app.close() as unknown as Promise<void>)
        await calls.at(-1)
      })
      const app = await build(t, { tasks: [waits], worker: { interval: 50, shutdownGrace: 500 }, backends: { default: { url: database.url } } })
      const results = await app.tasks.enqueueMany(waits, [[], []])
      await app.listen({ port: 0, host: '127.0.0.1' })
      await eventually(() => { assert.equal(running, 2) })
      if (first === 'somebody else') calls.push(app.close() as unknown as Promise<void>)
      closing()
      await eventually(() => { assert.ok(calls.length >= 2) })
      await Promise.all(calls)
      const reader = await build(t, { backends: { default: { url: database.url } } })
      for (const { id } of results) t.match(await reader.tasks.getResult(id), { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_UNSUPPORTED', message: /app\.close\(\)/ }] })
    })
  }
}

t.test('where the backend needs none, no worker is started and the log says so', async (t) => {
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'info', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(async () => { await app.close() })
  const own = add()
  await app.register(fastifyTasks, { env: false, tasks: [own], worker: true })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.equal((await own.enqueue(1, 2)).returnValue, 3)
  t.ok(lines.some((line) => line.includes('no worker is started')))
  await t.rejects(build(t, { worker: { backend: 'nope' } }), { code: 'FST_TASKS_INVALID_BACKEND' })
})
