import t, { type Test } from 'tap'
import { AssertionError } from 'node:assert'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task, type BackendOptions } from 'fastify-tasks'
import { createClock, enqueued, type EnqueueMatch } from 'fastify-tasks/testing'
import { databases } from '../support/databases.ts'

const mail = task('mail', { queueName: 'mail' }, async (to: { email: string, name?: string }, copies: number = 1) => [to.email, copies])
const note = task('note', async (text: string) => text)

async function build (t: Test, definition: BackendOptions): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifyTasks, { env: false, tasks: [mail, note], backends: { default: definition } })
  app.get('/', async (request) => request.tasks.enqueue(note, 'from a request').id)
  await app.ready()
  return app
}

const backends = [
  { name: 'dummy', open: async () => ({ backend: 'dummy' as const, close: async () => {} }) },
  ...databases.map(({ name, open }) => ({ name, open: async () => { const { url, close } = await open(); return { backend: 'database' as const, url, close } } }))
]

for (const { name, open } of backends) {
  t.test(`on ${name}`, async (t) => {
    const { close, ...definition } = await open()
    t.teardown(close)
    const app = await build(t, definition)
    const high = note.using({ priority: 5, tags: ['note:1', 'urgent'] })
    await app.inject('/')
    await mail.enqueue({ email: 'ann@example.com', name: 'Ann' }, 2)
    await mail.using({ runAfter: '1h' }).enqueue({ email: 'bob@example.com' })
    await high.enqueue('high')

    t.test('every field finds what fits it, and partly said arguments do', async (t) => {
      t.same((await enqueued(app)).map(({ taskName }) => taskName), ['note', 'mail', 'mail', 'note'], 'with what a request collected')
      const found: EnqueueMatch[] = [
        { task: mail }, { task: 'mail' }, { queueName: 'mail' }, { task: mail, args: [{}] }, { args: [{ email: /@example\.com$/ }] }, { task: mail, runAfter: (at: Date | null) => at === null || at > new Date() },
        { task: mail, args: ({ email }: { email: string }) => email.length === 15 }, { where: ({ taskName }: { taskName: string }) => taskName === 'mail' }
      ]
      for (const match of found) t.equal((await enqueued(app).count(2, match)).length, 2)
      const ann = await enqueued(app).one({ task: mail, args: [{ email: 'ann@example.com' }, 2], runAfter: null })
      t.same(ann.args, [{ email: 'ann@example.com', name: 'Ann' }, 2])
      const one: EnqueueMatch[] = [
        { args: [{ email: 'bob@example.com', name: undefined }] }, { task: mail, runAfter: '1h' }, { task: mail, due: false }, { priority: 5 }, { tags: ['urgent', 'note:1'] }, { tags: ['urgent'] },
        { args: ['high'] }, { args: [/^hi/] }, { args: [(text: unknown) => text === 'high'] }, { args: [{}, 2] }, { task: mail, due: true, status: 'READY' }
      ]
      for (const match of one) await enqueued(app).one(match)
      const none: EnqueueMatch[] = [
        { task: 'mails' }, { args: [{ email: 'ann@example.com', name: undefined }] }, { args: ['high', 1] }, { args: [['high']] }, { tags: ['note:1', 'other'] }, { priority: -5 },
        { task: mail, runAfter: '2h' }, { runAfter: new Date(0) }, { status: 'RUNNING' }, { queueName: 'mails' }, { args: [{ name: 'ann' }] }
      ]
      for (const match of none) await enqueued(app).none(match)
      await enqueued(app).some({ due: true, task: note })
      await enqueued(app).count(4)
    })

    t.test('what is claimed wrongly is an AssertionError that shows what was enqueued instead, the nearest first', async (t) => {
      const failed = async (claim: Promise<unknown>): Promise<string> => {
        const error = await claim.then(() => null, (error: unknown) => error)
        t.ok(error instanceof AssertionError)
        return (error as AssertionError).message
      }
      const message = await failed(enqueued(app).some({ task: mail, args: [{ email: 'cat@example.com' }], queueName: 'mail' }))
      const [first, second, third] = message.split('\n')
      t.equal(first, "Expected at least one enqueued 'mail' with args [ { email: 'cat@example.com' } ], queueName 'mail', and found none.")
      t.equal(second, 'Enqueued were 4:')
      t.equal(third, '- \'mail\' [{"email":"ann@example.com","name":"Ann"},2] queue mail, READY (not: args)')
      t.match(message, /runAfter \d{4}-/)
      t.match(message, /priority 5/)
      t.match(await failed(enqueued(app).one({ task: mail })), /Expected exactly one enqueued 'mail', and found 2\./)
      t.match(await failed(enqueued(app).count(3, { task: mail })), /exactly 3 enqueued 'mail', and found 2/)
      t.match(await failed(enqueued(app).none({ task: note, args: ['high'] })), /^Expected none enqueued 'note' with args \[ 'high' \], and found 1\.\n.*\n- 'note' \["high"\].* \(fits\)/)
      t.match(await failed(enqueued(app).none()), /Expected none enqueued task, and found 4/)
    })

    t.test('by the clock of a test, what was deferred is due', async () => {
      await enqueued(app).count(3, { due: true })
      const clock = createClock(app)
      clock.advance('59m')
      await enqueued(app).count(3, { due: true })
      clock.advance('1m')
      await enqueued(app).count(4, { due: true })
      clock.reset()
      await enqueued(app).count(3, { due: true })
    })
  })
}

t.test('the Immediate backend shows what it ran', async (t) => {
  const app = await build(t, { backend: 'immediate' })
  for (const text of ['one', 'two', 'three']) await note.enqueue(text)
  await app.inject('/')
  t.same((await enqueued(app)).map(({ args, status }) => [args[0], status]), [['one', 'SUCCESSFUL'], ['two', 'SUCCESSFUL'], ['three', 'SUCCESSFUL'], ['from a request', 'SUCCESSFUL']])
  await enqueued(app).one({ task: note, args: ['two'], where: ({ returnValue }) => returnValue === 'two' })
})

t.test('an error says so where nothing was enqueued, and shows twenty where there are many', async (t) => {
  const app = await build(t, { backend: 'dummy' })
  await t.rejects(enqueued(app).some({ task: note }), { code: 'ERR_ASSERTION', message: /Nothing was enqueued\./ })
  await note.enqueueMany(Array.from({ length: 25 }, () => ['x'.repeat(1_000)] as [string]))
  const error: any = await enqueued(app).some({ task: mail }).catch((error: unknown) => error)
  t.equal(error.message.split('\n').length, 1 + 1 + 20 + 1)
  t.match(error.message, /x…/)
  t.match(error.message, /and 5 more$/)
})

t.test('a match that is none is refused, and so is what nobody keeps', async (t) => {
  const app = await build(t, { backend: 'dummy' })
  const wrong: unknown[] = [null, [], note, { taskName: 'note' }, { task: 1 }, { args: 'x' }, { tags: 'x' }, { tags: [] }, { runAfter: 'soon' }, { due: 1 }, { where: true }]
  for (const match of wrong) await t.rejects(enqueued(app).some(match as never), { code: 'FST_TASKS_INVALID_OPTION' })
  await t.rejects(enqueued(app, { backend: 'nowhere' }), { code: 'FST_TASKS_INVALID_BACKEND' })
})
