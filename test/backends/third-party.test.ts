import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { BaseTaskBackend, task, type EnqueueRequest, type FastifyTasksOptions, type TaskResult } from 'fastify-tasks'

class Accepting extends BaseTaskBackend {
  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    return requests.map((request) => this.createResult(request))
  }
}

async function boot (test: Test, backends: FastifyTasksOptions['backends']): Promise<FastifyInstance> {
  const app = Fastify()
  test.teardown(async () => { await app.close() })
  await app.register(fastifyTasks, { env: false, backends })
  return app
}

t.test('a capability flag may be a field or a getter', async (t) => {
  class Fields extends Accepting {
    override readonly supportsDefer = true
  }
  class Getters extends Accepting {}
  // As JavaScript would write it; TypeScript takes no getter where the base declares a property.
  Object.defineProperty(Getters.prototype, 'supportsDefer', { get: () => true })

  for (const backend of [Fields, Getters]) {
    const app = await boot(t, { default: { backend } })
    const wave = task('wave', () => {})
    app.tasks.add(wave)
    t.equal((await wave.using({ runAfter: '1h' }).enqueue()).status, 'READY')
    t.throws(() => wave.using({ priority: 1 }), { code: 'FST_TASKS_INVALID_TASK' })
    await app.close()
  }
})

t.test('a constructor is given queues and options also where the configuration says none', async (t) => {
  const given: object[] = []
  class Taking extends Accepting {
    constructor ({ alias, queues, options, app }: ConstructorParameters<typeof Accepting>[0]) {
      super({ alias, queues, options, app })
      given.push({ alias, queues, options })
    }
  }
  await boot(t, { default: { backend: Taking }, more: { backend: Taking, queues: ['high'], options: { a: 1 } } })
  t.strictSame(given, [{ alias: 'default', queues: [], options: {} }, { alias: 'more', queues: ['high'], options: { a: 1 } }])
})

t.test('what is no task is refused by validateTask', async (t) => {
  const app = await boot(t, { default: { backend: Accepting } })
  for (const wrong of [null, undefined, 'name', {}, () => {}]) t.throws(() => { app.tasks.backend().validateTask(wrong as never) }, { code: 'FST_TASKS_INVALID_TASK' })
})

t.test('an enqueue() that does not answer each request is told so', async (t) => {
  class Forgetful extends BaseTaskBackend {
    override async enqueue (): Promise<TaskResult[]> { return undefined as never }
  }
  class Short extends Accepting {
    override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> { return await super.enqueue(requests.slice(1)) }
  }
  for (const backend of [Forgetful, Short]) {
    const wave = task('wave', () => {})
    const app = await boot(t, { default: { backend } })
    app.tasks.add(wave)
    await t.rejects(wave.enqueue(), { code: 'FST_TASKS_INVALID_BACKEND', message: /one result for each request/ })
  }
})
