import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { BaseTaskBackend, task, type AnyTask, type EnqueueRequest, type FastifyTasksOptions, type TaskOptions, type TaskResult, type UsingOptions } from 'fastify-tasks'

/** Of a third party that says of itself nothing at all. */
class Plain extends BaseTaskBackend {
  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    return requests.map((request) => this.createResult(request))
  }
}

const KINDS = { immediate: 'immediate', dummy: 'dummy', plain: Plain, database: 'database' } as const
type Kind = keyof typeof KINDS

const after = task('after', () => {})
const module = new URL('../worker/fixtures/isolated.js', import.meta.url).href
// As much of a Knex transaction as is looked at before a statement is sent.
const transaction = Object.assign(() => {}, { commit () {}, rollback () {}, isCompleted: () => false, executionPromise: new Promise(() => {}) })
const ALL: readonly Kind[] = ['immediate', 'dummy', 'plain', 'database']

/** Each option, where it may be said, and who accepts it. The others refuse it, by its name. */
const TABLE: ReadonlyArray<[options: UsingOptions & TaskOptions, where: 'both' | 'task' | 'using', accepts: readonly Kind[]]> = [
  [{ priority: 5 }, 'both', ['immediate', 'dummy', 'database']],
  [{ priority: 0 }, 'both', ALL],
  [{ runAfter: '1h' } as UsingOptions, 'using', ['dummy', 'database']],
  [{ runAfter: null } as UsingOptions, 'using', ALL],
  [{ retry: 2 }, 'both', ['immediate', 'dummy', 'database']],
  [{ retry: { limit: 1, delay: 5, backoff: () => 5, retryIf: () => true } }, 'task', ['immediate', 'dummy', 'database']],
  [{ retry: 0 }, 'both', ALL],
  [{ timeout: '1m', timeoutGrace: '1s' }, 'both', ['immediate', 'dummy', 'database']],
  [{ timeout: null }, 'both', ALL],
  [{ uniqueKey: 'k' }, 'both', ['dummy', 'database']],
  [{ uniqueKey: 'k', uniqueFor: '1h', onConflict: 'replace' }, 'both', ['dummy', 'database']],
  [{ concurrencyKey: 'k' }, 'both', ['dummy', 'database']],
  [{ concurrencyKey: 'k', concurrencyLimit: 3 }, 'both', ['dummy', 'database']],
  [{ rateLimit: { max: 1, every: '1s', key: 'api' } }, 'both', ['dummy', 'database']],
  [{ tags: ['note:42'] }, 'both', ['dummy', 'database']],
  [{ tags: [], uniqueKey: null, concurrencyKey: null, rateLimit: null }, 'both', ALL],
  [{ onSuccess: after } as UsingOptions, 'both', ['dummy']],
  [{ onFailure: after } as UsingOptions, 'both', ['dummy']],
  [{ isolation: { module, export: 'double' } }, 'task', ['dummy', 'database']],
  [{ transaction: transaction as never } as UsingOptions, 'using', ['immediate', 'dummy', 'database']],
  [{ schema: { type: 'array', maxItems: 1 } }, 'task', ALL]
]

async function boot (t: Test, kind: Kind, queues?: object): Promise<FastifyInstance> {
  const app = Fastify({ logger: false })
  t.teardown(async () => { await app.close() })
  const url = kind === 'database' ? { url: 'sqlite::memory:' } : {}
  await app.register(fastifyTasks, { env: false, backends: { default: { backend: KINDS[kind], ...url, ...(queues !== undefined && { queues }) } } as FastifyTasksOptions['backends'] })
  return app
}

for (const kind of ALL) {
  t.test(`${kind} accepts what it can do and refuses all else, at the registration, in using() and at the enqueue`, async (t) => {
    const app = await boot(t, kind)
    const registered = task('registered', () => {})
    app.tasks.add(registered)
    let number = 0
    for (const [options, where, accepting] of TABLE) {
      const [field = ''] = Object.keys(options)
      const accepts = accepting.includes(kind)
      const refusal = { code: 'FST_TASKS_INVALID_TASK', message: new RegExp(`backend 'default' does not support .*\`${field}\``) }
      const check = (what: string, fn: () => unknown): void => {
        if (accepts) t.doesNotThrow(fn, `${field}, ${what}`)
        else t.throws(fn, refusal, `${field}, ${what}`)
      }
      if (where !== 'using') check('registered', () => { app.tasks.add(task(`defined.${number++}`, options as never, () => {})) })
      if (where === 'task') continue
      check('in using()', () => registered.using(options))
      if (accepts || kind === 'database') continue // that an accepted one can be stored is for the suites
      // A copy that was made before anybody knew the app.
      const early = task(`early.${number++}`, () => {})
      const copy = early.using(options)
      app.tasks.add(early)
      await t.rejects(copy.enqueue(), refusal, `${field}, enqueued`)
      await t.rejects(app.tasks.enqueue(copy), refusal, `${field}, enqueued by the app`)
      await t.rejects(copy.enqueueMany([[]]), refusal, `${field}, enqueued with others`)
    }
  })

  t.test(`${kind}: a task of a queue with limits is accepted where the limits are kept`, async (t) => {
    const app = await boot(t, kind, { slow: { concurrencyLimit: 1 }, api: { rateLimit: { max: 1, every: '1s' } }, short: { maxReady: 5 } })
    const accepts = kind === 'dummy' || kind === 'database'
    for (const queueName of ['slow', 'api', 'short']) {
      const add = (): AnyTask => { const made = task(`in.${queueName}`, { queueName }, () => {}); app.tasks.add(made); return made }
      if (accepts || queueName === 'short') t.doesNotThrow(add, queueName)
      else t.throws(add, { code: 'FST_TASKS_INVALID_TASK', message: new RegExp(`does not support the .* of queue '${queueName}'`) })
    }
    t.throws(() => { app.tasks.add(task('in.none', () => {})) }, { code: 'FST_TASKS_INVALID_TASK', message: /has no queue 'default'/ })
  })
}

t.test('a dummy backend records what was asked for, and an Immediate one does it', async (t) => {
  const dummy = await boot(t, 'dummy')
  const failing = task('failing', { retry: 2, timeout: '1m' }, () => { throw new Error('x') })
  dummy.tasks.add(failing)
  const recorded = await dummy.tasks.enqueue(failing.using({ tags: ['a'], priority: 7, runAfter: '1h' }))
  t.match(recorded, { status: 'READY', priority: 7, attempts: 0 })
  t.equal((await dummy.tasks.list({ tag: 'a' })).results.length, 1)
  await dummy.close()
  const immediate = await boot(t, 'immediate')
  immediate.tasks.add(failing)
  t.match(await immediate.tasks.enqueue(failing), { status: 'FAILED', attempts: 3 })
})
