import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task, type FastifyTasksOptions, type TaskResult } from 'fastify-tasks'

const add = task('math.add', async (a: number, b: number) => a + b)

/** An app whose `GET /` collects one enqueue, and hands it out before the reply. */
async function boot (test: Test, onHeld: (held: TaskResult) => unknown, options: FastifyTasksOptions = {}): Promise<FastifyInstance> {
  const app = Fastify()
  test.teardown(async () => { await app.close() })
  await app.register(fastifyTasks, { tasks: [add], env: false, ...options })
  app.get('/', async (request) => {
    await onHeld(request.tasks.enqueue(add, 1, 2))
    return {}
  })
  return app
}

t.test('wait() on what a request collected goes on through the reply to the end of the task', async (t) => {
  let waiting: Promise<TaskResult> | undefined
  const app = await boot(t, (held) => { waiting = held.wait({ timeout: '10s' }) })
  await app.inject('/')
  t.equal((await waiting)?.returnValue, 3)
})

t.test('wait() on what was dropped, or withdrawn, does not wait', async (t) => {
  let waiting: Promise<TaskResult> | undefined
  const failing = await boot(t, (held) => {
    waiting = held.wait({ timeout: '10s' })
    waiting.catch(() => {})
    throw new Error('the handler failed')
  })
  t.equal((await failing.inject('/')).statusCode, 500)
  await t.rejects(async () => { await waiting }, { code: 'FST_TASKS_RESULT_NOT_FOUND' })
  await failing.close()

  const withdrawing = await boot(t, async (held) => {
    waiting = held.wait({ timeout: '10s' })
    t.equal(await held.cancel(), true)
  })
  await withdrawing.inject('/')
  t.equal((await waiting)?.status, 'CANCELLED')
})

t.test('wait() by the handler itself ends with its time and its signal', async (t) => {
  const stop = new AbortController()
  const app = await boot(t, async (held) => {
    await t.rejects(held.wait({ timeout: 30 }), { code: 'FST_TASKS_WAIT_TIMEOUT' })
    const waiting = held.wait({ signal: stop.signal })
    stop.abort(new Error('enough'))
    await t.rejects(waiting, { message: 'enough' })
  })
  t.equal((await app.inject('/')).statusCode, 200)
})
