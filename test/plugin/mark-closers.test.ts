import t from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks from 'fastify-tasks'
import { withinAttempt, type CurrentAttempt } from '#lib/run/current.js'

/** Remembers which apps it is said to close. */
class Closer implements CurrentAttempt {
  readonly id = 'a'
  readonly taskName = 'a'
  readonly ended = false
  readonly closed: FastifyInstance[] = []
  fail (): void {}
  closes (root: FastifyInstance): void { this.closed.push(root) }
}

const WAYS: ReadonlyArray<[string, (app: FastifyInstance) => Promise<unknown>]> = [
  ['a promise', async (app) => await app.close()],
  ['a callback', async (app) => { await new Promise<void>((resolve) => { app.close(resolve) }) }],
  ['await using', async (app) => { await app[Symbol.asyncDispose]() }]
]

for (const [way, close] of WAYS) {
  t.test(`an attempt that closes the app by ${way} is told so once, whoever was first and wherever the plugin is registered`, async (t) => {
    const app = Fastify()
    const children: FastifyInstance[] = []
    for (let count = 0; count < 2; count++) {
      app.register(async (child) => {
        children.push(child)
        await child.register(fastifyTasks, { env: false })
      })
    }
    await app.ready()
    t.notOk(app.hasDecorator('tasks'), 'neither is on the app itself')
    const attempts = [app, ...children].map((instance) => ({ instance, attempt: new Closer() }))
    const first = app.close()
    await Promise.all(attempts.map(async ({ instance, attempt }) => { await withinAttempt(attempt, async () => await close(instance)) }))
    await first
    for (const { attempt } of attempts) t.ok(attempt.closed.length === 1 && attempt.closed[0] === app)
  })
}

t.test('who closes the app by callback gets what Fastify gives', async (t) => {
  const app = Fastify()
  await app.register(fastifyTasks, { env: false })
  await new Promise<void>((resolve) => { t.ok(app.close(resolve) as unknown === app) })
  // @ts-expect-error: no function
  t.throws(() => app.close(1), { code: 'AVV_ERR_CALLBACK_NOT_FN' })
})
