import t from 'tap'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task, type AnyTask, type BackendOptions } from 'fastify-tasks'
import { createContext, drain, enqueued } from 'fastify-tasks/testing'
import { databases } from '../support/databases.ts'
import { startProcess } from '../support/processes.ts'

const run = promisify(execFile)

async function build (t: { after: (fn: () => Promise<void>) => unknown }, tasks: AnyTask[], definition: BackendOptions): Promise<FastifyInstance> {
  const app = Fastify()
  t.after(async () => { await app.close() })
  await app.register(fastifyTasks, { env: false, tasks, backends: { default: definition } })
  await app.ready()
  return app
}

for (const { name, open } of databases) {
  t.test(name, async (t) => {
    const database = await open()
    const runs: string[] = []
    const note = task('note', { takesContext: true }, async (context, text: string) => {
      runs.push(text)
      if (text === 'outer') await context.app.tasks.enqueue('note', 'inner')
    })
    const fail = task('fail', { retry: { limit: 1, delay: '1h' } }, async () => { runs.push('fail'); throw new Error('no') })
    const app = await build(t, [note, fail], { url: database.url })
    t.after(database.close)

    t.test('drain runs what is ready and what that enqueues, and leaves what is not due', async (t) => {
      await note.enqueue('outer')
      const later = await note.using({ runAfter: '1h' }).enqueue('later')
      const failed = await fail.enqueue()
      await drain(app)
      t.same(runs.splice(0).sort(), ['fail', 'inner', 'outer'])
      await Promise.all([later.refresh(), failed.refresh()])
      t.same([later.status, failed.status, failed.errors.length], ['READY', 'READY', 1])
      await drain(app)
      t.same(runs.splice(0), [], 'a second one finds nothing')
    })

    t.test('enqueued gives every result in the order of the enqueues', async (t) => {
      t.same((await enqueued(app)).map(({ taskName, args }) => [taskName, args[0]]), [['note', 'outer'], ['note', 'later'], ['fail', undefined], ['note', 'inner']])
    })

    t.test('nothing stays open when an app with all of it is closed: its process ends by itself', async (t) => {
      const other = await open()
      t.after(other.close)
      const child = startProcess(t, join(import.meta.dirname, 'fixtures/whole-test.js'), { args: [other.url] })
      t.same(JSON.parse(await child.line(/^\{"statuses"/)), { statuses: ['SUCCESSFUL'], code: 'FST_TASKS_CLOSED', left: [] })
      t.same(await child.exit({ timeout: 15_000 }), { code: 0, signal: null })
    })

    t.test('a context commits what its transaction wrote, or none of it, and a second call is refused', async (t) => {
      const write = task('write', { takesContext: true }, async (context, fails: boolean) => await context.transaction(async (trx) => {
        await note.using({ transaction: trx }).enqueue('in the transaction')
        if (fails) throw new Error('rolled back')
        return 'committed'
      }))
      const before = (await enqueued(app)).length
      await t.rejects(write(createContext(app), true), { message: 'rolled back' })
      t.equal((await enqueued(app)).length, before)
      const context = createContext(app)
      t.equal(await write(context, false), 'committed')
      t.equal((await enqueued(app)).length, before + 1)
      await t.rejects(write(context, false), { code: 'FST_TASKS_ATTEMPT_ENDED' })
    })
  })
}

t.test('enqueued gives what a Dummy backend holds, and what a request collected once it is flushed', async (t) => {
  const note = task('note', async (text: string) => { void text })
  const app = Fastify()
  t.after(async () => { await app.close() })
  await app.register(fastifyTasks, { env: false, tasks: [note], backends: { default: { backend: 'dummy' } } })
  app.get('/', async (request) => request.tasks.enqueue(note, 'from a request').id)
  await app.inject('/')
  await app.tasks.flushed()
  await note.enqueue('by itself')
  t.same((await enqueued(app)).map(({ args }) => args), [['from a request'], ['by itself']])
})

t.test('drain has nothing left to do where tasks run inside of their enqueue, and waits for what a request collected', async (t) => {
  const ran: string[] = []
  const note = task('note', async (text: string) => { ran.push(text) })
  const app = Fastify()
  t.after(async () => { await app.close() })
  await app.register(fastifyTasks, { env: false, tasks: [note], backends: { default: { backend: 'immediate' } } })
  app.get('/', async (request) => request.tasks.enqueue(note, 'from a request').id)
  await app.inject('/')
  await drain(app)
  t.same(ran, ['from a request'])
})

t.test('drain is refused where no worker runs what is kept', async (t) => {
  const dummy = await build(t, [], { backend: 'dummy' })
  await t.rejects(drain(dummy), { code: 'FST_TASKS_INVALID_OPTION' })
})

t.test('a context says what it was told, and keeps progress', async (t) => {
  const app = await build(t, [], { backend: 'dummy' })
  const controller = new AbortController()
  const context = createContext(app, { attempt: 3, signal: controller.signal, taskResult: { id: 'one', args: ['x'] } })
  t.same([context.app === app, context.attempt, context.taskResult.id, context.taskResult.args, context.taskResult.status, Object.isFrozen(context)], [true, 3, 'one', ['x'], 'RUNNING', true])
  controller.abort()
  t.equal(context.signal.aborted, true)
  await context.progress({ done: 1 })
  t.same(context.taskResult.progress, { done: 1 })
  await t.rejects(context.progress(new Map()), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  await t.rejects(context.transaction(async () => {}), { code: 'FST_TASKS_UNSUPPORTED' })
})

t.test('the suites run in the runner that Node brings along', async (t) => {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:TAP|_TAPJS|NODE_)/.test(name)))
  const { stdout } = await run(process.execPath, ['--test', '--test-reporter=tap', join(import.meta.dirname, 'fixtures/node-test.js')], { env })
  t.match(stdout, /^# fail 0$/m)
  t.match(stdout, /^# skipped 0$/m)
  t.match(stdout, /ok \d+ - dummy: an enqueue answers the result/)
})
