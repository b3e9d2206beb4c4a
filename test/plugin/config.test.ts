import t, { type Test } from 'tap'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fastifyEnv from '@fastify/env'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, * as door from 'fastify-tasks'
import { BaseTaskBackend, DatabaseBackend, DummyBackend, ImmediateBackend, task, type FastifyTasksOptions } from 'fastify-tasks'
import { RecordingBackend } from './recording-backend.ts'

const SECRET = 'hunter2'

/** Boot an app with these variables and no other `TASKS_*`; the environment is as before when it is ready. */
async function boot (test: Test, env: Record<string, string>, options: FastifyTasksOptions = {}, setUp: (app: FastifyInstance) => Promise<void> = async () => {}): Promise<{ app: FastifyInstance, lines: string[] }> {
  const before = { ...process.env }
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(line) } } } })
  test.teardown(async () => { await app.close() })
  try {
    for (const name of Object.keys(process.env)) if (name.startsWith('TASKS_')) delete process.env[name]
    Object.assign(process.env, env)
    await setUp(app)
    await app.register(fastifyTasks, options)
    await app.ready()
    return { app, lines }
  } finally {
    for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name]
    Object.assign(process.env, before)
  }
}

t.test('the kind of the default backend comes from the environment, and from code where code says it', async (t) => {
  const memory = 'sqlite::memory:'
  const cases: Array<[Record<string, string>, FastifyTasksOptions, unknown]> = [
    [{}, {}, ImmediateBackend],
    [{ TASKS_DATABASE_URL: '' }, {}, ImmediateBackend],
    [{ TASKS_DATABASE_URL: memory }, {}, DatabaseBackend],
    [{ TASKS_DATABASE_URL: memory, TASKS_BACKEND: 'dummy' }, {}, DummyBackend],
    [{ TASKS_DATABASE_URL: memory }, { env: false }, ImmediateBackend],
    [{ TASKS_DATABASE_URL: memory }, { backends: { default: { backend: 'immediate' } } }, ImmediateBackend],
    [{ TASKS_BACKEND: 'dummy' }, { backends: { default: { url: memory } } }, DatabaseBackend],
    [{ TASKS_DATABASE_URL: memory }, { backends: { default: { backend: RecordingBackend } } }, RecordingBackend],
    [{ TASKS_DATABASE_URL: memory }, { backends: { default: { backend: 'database' } } }, DatabaseBackend],
    [{ TASKS_BACKENDS: '{"default":{"backend":"dummy"}}' }, {}, DummyBackend],
    [{ TASKS_BACKENDS: '{"default":{"backend":"dummy"}}', TASKS_BACKEND: 'immediate' }, {}, DummyBackend],
    [{ TASKS_BACKENDS: '{"default":{"url":"sqlite::memory:"}}' }, { backends: { default: { backend: 'immediate' } } }, ImmediateBackend]
  ]
  for (const [env, options, expected] of cases) {
    const { app } = await boot(t, env, options)
    t.ok(app.tasks.backend() instanceof (expected as typeof DummyBackend), JSON.stringify([env, options]))
  }
})

t.test('several aliases, from JSON and from code', async (t) => {
  const own = task('own', { backend: 'reports', queueName: 'high' }, async () => {})
  const { app } = await boot(t, { TASKS_BACKENDS: '{"reports":{"backend":"dummy","queues":["high"]}}', TASKS_BACKEND: 'dummy' }, { tasks: [own], backends: { more: { backend: RecordingBackend, options: { a: 1 } } } })
  t.equal(app.tasks.backend('reports').alias, 'reports')
  t.same((app.tasks.backend('more') as RecordingBackend).options, { a: 1 })
  t.equal((app.tasks.backend('more') as RecordingBackend).app, app)
  t.equal((await own.enqueue()).backend, 'reports')
  t.throws(() => own.using({ queueName: 'low' }), { code: 'FST_TASKS_INVALID_TASK', message: /low/ })
  t.throws(() => app.tasks.backend('nope'), { code: 'FST_TASKS_INVALID_BACKEND', message: /nope/ })
  t.throws(() => { app.tasks.add(task('lost', { backend: 'nope' }, async () => {})) }, { code: 'FST_TASKS_INVALID_BACKEND' })
})

t.test('TASKS_QUEUES says which queues may be enqueued to', async (t) => {
  const own = task('own', async () => {})
  await boot(t, { TASKS_BACKEND: 'dummy', TASKS_QUEUES: 'default, high' }, { tasks: [own] })
  await own.using({ queueName: 'high' }).enqueue()
  t.throws(() => own.using({ queueName: 'low' }), { code: 'FST_TASKS_INVALID_TASK' })
})

t.test('TASKS_SCHEMA, TASKS_TABLE_PREFIX and TASKS_MIGRATE reach the store', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-config-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  const url = `sqlite:${join(folder, 'a.sqlite3')}`
  await t.rejects(boot(t, { TASKS_DATABASE_URL: url, TASKS_MIGRATE: 'false' }), { code: 'FST_TASKS_MIGRATION_REQUIRED' })
  const { app } = await boot(t, { TASKS_DATABASE_URL: url, TASKS_TABLE_PREFIX: 'own_' })
  t.match((app.tasks.backend() as DatabaseBackend).store.config, { tablePrefix: 'own_', migrate: true, url })
  await boot(t, { TASKS_DATABASE_URL: url, TASKS_TABLE_PREFIX: 'own_', TASKS_MIGRATE: '0' })
})

t.test('TASKS_SCHEMA does not reach a SQLite file that is named beside TASKS_DATABASE_URL', async (t) => {
  const { app } = await boot(t, { TASKS_SCHEMA: 'own' }, { backends: { default: { backend: 'dummy' }, local: { url: 'sqlite::memory:' } } })
  t.equal((app.tasks.backend('local') as DatabaseBackend).store.config.schema, undefined)
})

t.test('bad values stop the boot, name the variable and keep the password', async (t) => {
  const cases: Array<[Record<string, string>, string, RegExp]> = [
    [{ TASKS_BACKEND: SECRET }, 'FST_TASKS_INVALID_BACKEND', /TASKS_BACKEND/],
    [{ TASKS_DATABASE_URL: `mysql://user:${SECRET}@host/db` }, 'FST_TASKS_INVALID_CONFIG', /TASKS_DATABASE_URL/],
    [{ TASKS_DATABASE_URL: `postgres://user:${SECRET}@ho st/db` }, 'FST_TASKS_INVALID_CONFIG', /TASKS_DATABASE_URL/],
    [{ TASKS_DATABASE_URL: 'sqlite:' }, 'FST_TASKS_INVALID_CONFIG', /TASKS_DATABASE_URL.*names no file/],
    [{ TASKS_DATABASE_URL: 'sqlite::memory:', TASKS_SCHEMA: 'own' }, 'FST_TASKS_INVALID_CONFIG', /TASKS_SCHEMA.*SQLite/],
    [{ TASKS_WORKER_CONCURRENCY: 'many' }, 'FST_TASKS_INVALID_OPTION', /TASKS_WORKER_CONCURRENCY/],
    [{ TASKS_MIGRATE: SECRET }, 'FST_TASKS_INVALID_CONFIG', /TASKS_MIGRATE/],
    [{ TASKS_QUEUES: `a,,${SECRET}` }, 'FST_TASKS_INVALID_CONFIG', /TASKS_QUEUES/],
    [{ TASKS_SCHEMA: `x"; drop ${SECRET}` }, 'FST_TASKS_INVALID_CONFIG', /TASKS_SCHEMA/],
    [{ TASKS_TABLE_PREFIX: '1' }, 'FST_TASKS_INVALID_CONFIG', /TASKS_TABLE_PREFIX/],
    [{ TASKS_EMBEDDED_WORKER: SECRET }, 'FST_TASKS_INVALID_CONFIG', /TASKS_EMBEDDED_WORKER/],
    [{ TASKS_EMBEDDED_WORKER: 'true', TASKS_WORKER_CONCURRENCY: 'many' }, 'FST_TASKS_INVALID_OPTION', /TASKS_WORKER_CONCURRENCY/],
    [{ TASKS_BACKENDS: `{"default": "${SECRET}` }, 'FST_TASKS_INVALID_CONFIG', /TASKS_BACKENDS/],
    [{ TASKS_BACKENDS: '[]' }, 'FST_TASKS_INVALID_CONFIG', /TASKS_BACKENDS/],
    [{ TASKS_BACKENDS: '{"default":{"backend":"nope"}}' }, 'FST_TASKS_INVALID_BACKEND', /TASKS_BACKENDS\.default/],
    [{ TASKS_BACKENDS: `{"default":{"url":"redis://:${SECRET}@x"}}` }, 'FST_TASKS_INVALID_CONFIG', /TASKS_BACKENDS\.default\.url/],
    [{ TASKS_BACKENDS: '{"default":{"uri":"x"}}' }, 'FST_TASKS_INVALID_CONFIG', /TASKS_BACKENDS\.default\.uri/],
    [{ TASKS_BACKENDS: '{"a b":{}}' }, 'FST_TASKS_INVALID_CONFIG', /TASKS_BACKENDS/],
    [{ TASKS_BACKENDS: '{"more":{}}' }, 'FST_TASKS_INVALID_BACKEND', /TASKS_BACKENDS\.more/]
  ]
  for (const [env, code, message] of cases) {
    const error = await boot(t, env).then(() => null, (thrown: Error) => thrown)
    t.match(error, { code, message }, JSON.stringify(env))
    t.notMatch(String(error?.message), SECRET)
  }
})

t.test('bad options stop the boot and are named', async (t) => {
  const bad = (options: unknown): FastifyTasksOptions => options as FastifyTasksOptions
  const cases: Array<[FastifyTasksOptions, string, RegExp]> = [
    [bad({ backend: {} }), 'FST_TASKS_INVALID_CONFIG', /^backend is not valid/],
    [bad({ env: 'no' }), 'FST_TASKS_INVALID_CONFIG', /^env/],
    [bad({ tasks: {} }), 'FST_TASKS_INVALID_CONFIG', /^tasks/],
    [bad({ tasks: [() => {}] }), 'FST_TASKS_INVALID_TASK', /task\(\)/],
    [bad({ backends: [] }), 'FST_TASKS_INVALID_CONFIG', /^backends/],
    [bad({ backends: { default: 'dummy' } }), 'FST_TASKS_INVALID_CONFIG', /^backends\.default/],
    [bad({ backends: { default: { backend: 'redis' } } }), 'FST_TASKS_INVALID_BACKEND', /backends\.default/],
    [bad({ backends: { default: { backend: class Not {} } } }), 'FST_TASKS_INVALID_BACKEND', /BaseTaskBackend/],
    [bad({ backends: { default: { backend: 'dummy', url: 'sqlite::memory:' } } }), 'FST_TASKS_INVALID_CONFIG', /backends\.default\.url/],
    [bad({ backends: { default: { backend: 'database', url: 7 } } }), 'FST_TASKS_INVALID_CONFIG', /backends\.default\.url/],
    [bad({ backends: { default: { knex: {} } } }), 'FST_TASKS_INVALID_CONFIG', /backends\.default\.knex/],
    [bad({ backends: { default: { backend: 'dummy', queues: 'a' } } }), 'FST_TASKS_INVALID_CONFIG', /backends\.default\.queues/],
    [bad({ backends: { default: { backend: 'dummy', queues: ['a b'] } } }), 'FST_TASKS_INVALID_CONFIG', /backends\.default\.queues/],
    [bad({ backends: { default: { backend: 'dummy', options: 3 } } }), 'FST_TASKS_INVALID_CONFIG', /backends\.default\.options/],
    [bad({ backends: { default: { backend: 'dummy', options: { maxDepths: 3 } } } }), 'FST_TASKS_INVALID_CONFIG', /maxDepths/],
    [bad({ backends: { default: { url: 'sqlite::memory:', options: { maxArgumentBytes: 0 } } } }), 'FST_TASKS_INVALID_CONFIG', /backends\.default\.options\.maxArgumentBytes/],
    [bad({ backends: { default: { url: 'sqlite::memory:', options: { serializer: {} } } } }), 'FST_TASKS_INVALID_CONFIG', /serializer/],
    [bad({ backends: { default: { url: 'sqlite::memory:', queues: { a: { maxReady: 0 } } } } }), 'FST_TASKS_INVALID_CONFIG', /backends\.default\.queues\.a\.maxReady/],
    [bad({ backends: { default: { url: 'sqlite::memory:', queues: { a: { maxRead: 1 } } } } }), 'FST_TASKS_INVALID_CONFIG', /backends\.default\.queues\.a\.maxRead/],
    [bad({ backends: { default: { url: 'sqlite::memory:', schema: 'own' } } }), 'FST_TASKS_INVALID_CONFIG', /schema.*SQLite/],
    [bad({ flushOn: 'later' }), 'FST_TASKS_INVALID_CONFIG', /^flushOn/],
    [bad({ flushRetry: -1 }), 'FST_TASKS_INVALID_CONFIG', /^flushRetry/],
    [bad({ discardOn: true }), 'FST_TASKS_INVALID_CONFIG', /^discardOn/],
    [bad({ onFlushError: {} }), 'FST_TASKS_INVALID_CONFIG', /^onFlushError/],
    [bad({ taskLogLevel: 'loud' }), 'FST_TASKS_INVALID_CONFIG', /^taskLogLevel/],
    [bad({ worker: 3 }), 'FST_TASKS_INVALID_CONFIG', /^worker/],
    [bad({ worker: { concurrency: 0 } }), 'FST_TASKS_INVALID_OPTION', /concurrency/]
  ]
  for (const [options, code, message] of cases) {
    await t.rejects(boot(t, {}, options), { code, message }, String(message))
  }
})

t.test('an app that did not boot leaves its tasks to the next one', async (t) => {
  const own = task('own', async () => 1)
  await t.rejects(boot(t, {}, { tasks: [own, own] }), { code: 'FST_TASKS_DUPLICATE_TASK' })
  await t.rejects(own.enqueue(), { code: 'FST_TASKS_NOT_REGISTERED' })
  await boot(t, {}, { tasks: [own] })
  t.equal((await own.enqueue()).returnValue, 1)
})

t.test("the app's own @fastify/env is not disturbed, before or after", async (t) => {
  const schema = { type: 'object', properties: { OWN_VARIABLE: { type: 'string' } } }
  const before = await boot(t, { OWN_VARIABLE: 'x' }, {}, async (app) => { await app.register(fastifyEnv, { schema }) })
  t.same((before.app as unknown as { config: unknown }).config, { OWN_VARIABLE: 'x' })
  t.same(before.app.getEnvs(), { OWN_VARIABLE: 'x' })
  process.env['OWN_VARIABLE'] = 'y'
  t.teardown(() => { delete process.env['OWN_VARIABLE'] })
  const after = Fastify()
  t.teardown(async () => { await after.close() })
  await after.register(fastifyTasks)
  await after.register(fastifyEnv, { schema: { ...schema } })
  t.same((after as unknown as { config: unknown }).config, { OWN_VARIABLE: 'y' })
  t.same(after.getEnvs(), { OWN_VARIABLE: 'y' })
  after.get('/', async (request) => request.getEnvs())
  t.same((await after.inject('/')).json(), { OWN_VARIABLE: 'y' })
})

t.test('production without a backend is warned of', async (t) => {
  const { lines } = await boot(t, { NODE_ENV: 'production' })
  t.ok(lines.some((line) => line.includes('NODE_ENV')))
  const said: Array<Record<string, string>> = [{ TASKS_BACKEND: 'immediate' }, { TASKS_DATABASE_URL: 'sqlite::memory:' }, { TASKS_BACKENDS: '{"default":{"backend":"immediate"}}' }]
  for (const env of said) {
    t.notOk((await boot(t, { NODE_ENV: 'production', ...env })).lines.some((line) => line.includes('NODE_ENV')), JSON.stringify(env))
  }
})

t.test("a backend's check() is logged, and a backend that does not open closes those that did", async (t) => {
  const opened: RecordingBackend[] = []
  class Checked extends RecordingBackend {
    override async check (): Promise<string[]> { return ['mend me'] }
    override async open (): Promise<void> {
      opened.push(this)
      await super.open()
    }
  }
  class Broken extends RecordingBackend {
    override async open (): Promise<void> { throw new Error('cannot open') }
  }
  const { lines } = await boot(t, {}, { backends: { default: { backend: Checked } } })
  t.ok(lines.some((line) => line.includes('mend me')))
  await t.rejects(boot(t, {}, { backends: { default: { backend: Checked }, more: { backend: Broken } } }), { message: 'cannot open' })
  t.equal(opened[1]?.closed, 1)
})

t.test("a backend that does not open in time is told of before Fastify's own timeout, though it does not close either, and none is opened after it", async (t) => {
  const opened: string[] = []
  const closed: string[] = []
  let answer = (): void => {}
  class Silent extends RecordingBackend {
    override async open (): Promise<void> {
      opened.push(this.alias)
      await new Promise<void>((resolve) => { answer = resolve })
    }

    override async close (): Promise<void> {
      closed.push(this.alias)
      await new Promise(() => {})
    }
  }
  const app = Fastify({ pluginTimeout: 2_000 })
  t.teardown(async () => { await app.close() })
  const register = app.register(fastifyTasks, { env: false, backends: { default: { backend: Silent }, more: { backend: Silent } } })
  await t.rejects(async () => { await register }, { code: 'FST_TASKS_STORE_UNAVAILABLE' })
  answer()
  await new Promise(setImmediate)
  t.same({ opened, closed }, { opened: ['default'], closed: ['default'] })
})

t.test('the door gives every public name', async (t) => {
  t.equal(door.default, door.fastifyTasks)
  t.same(Object.keys(door).sort(), ['BaseTaskBackend', 'DatabaseBackend', 'DummyBackend', 'FatalTaskError', 'ImmediateBackend', 'TaskResultStatus', 'default', 'errors', 'fastifyTasks', 'task'])
  t.ok(Object.values(door.errors).every((each) => typeof each === 'function'))
  t.ok(new ImmediateBackend({ alias: 'a', app: Fastify() }) instanceof BaseTaskBackend)
  const app = Fastify()
  await app.register(fastifyTasks, { env: false })
  t.ok(app.hasPlugin('fastify-tasks'))
  await app.close()
})
