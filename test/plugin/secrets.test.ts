import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import knexFactory, { type Knex } from 'knex'
import fastifyTasks, { task, type FastifyTasksOptions } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { databases, type TestDatabase } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'

// A marker in every place that may hold a secret, and every way to an error driven: the marker is in no line of the log
// and in no error. (The names of properties may be: a refusal says the place.) What the database itself says of a failed statement holds it, as does Knex's message.

const SECRET = 'marker-7f3a'
const secretly = (value: unknown): string => `${SECRET}-${String(value)}`

interface Seen { readonly app: FastifyInstance, readonly knex: Knex, readonly log: string[], readonly errors: unknown[] }

const keep = task('keep', async (value: unknown) => value)
const checked = task('checked', { schema: { type: 'array', items: [{ type: 'object', properties: { kind: { enum: ['a', 'b'] }, at: { type: 'string', pattern: '^x', maxLength: 3 } }, additionalProperties: false }], minItems: 1 } }, async (_: unknown) => {})
const unstorable = task('unstorable', async (value: string) => ({ value, callback: () => value }))
const progressing = task('progressing', { takesContext: true }, async ({ progress }, value: string) => { await progress({ value }) })
const transacting = task('transacting', { takesContext: true }, async ({ transaction }, value: string) => { await transaction(async () => value) })
const later = task('later', { retry: { limit: 1, delay: 1 } }, async (value: string) => { throw new Error(`refused ${value.length}`) })

async function open (t: Test, database: TestDatabase, options: Partial<FastifyTasksOptions> = {}): Promise<Seen> {
  const log: string[] = []
  const app = Fastify({ logger: { level: 'trace', stream: { write: (line) => { log.push(line) } } } })
  const knex = database.url.startsWith('sqlite:')
    ? knexFactory({ client: 'sqlite3', connection: { filename: database.url.slice('sqlite:'.length) }, useNullAsDefault: true })
    : knexFactory({ client: 'pg', connection: database.url })
  t.teardown(async () => {
    await app.close()
    await knex.destroy()
    await database.close()
  })
  await app.register(fastifyTasks, { tasks: [keep, checked, unstorable, progressing, transacting, later], env: false, taskLogLevel: 'trace', flushRetry: 200, backends: { default: { backend: 'database', url: database.url } }, ...options })
  return { app, knex, log, errors: [] }
}

/** All that can be seen of an error, by whoever prints it in whatever way. */
function shown (error: unknown): string {
  const parts = [String(error), inspect(error, { depth: 10, showHidden: true, getters: true })]
  for (let each = error; each instanceof Error; each = each.cause) parts.push(each.message, String(each.stack), JSON.stringify(each), JSON.stringify(each, Object.getOwnPropertyNames(each)))
  return parts.join('\n')
}

async function failing (seen: Seen, what: string, call: () => unknown): Promise<void> {
  try {
    await call()
  } catch (error) {
    seen.errors.push(error)
    return
  }
  assert.fail(`${what} did not fail`)
}

function nothingIn (t: Test, { log, errors }: Pick<Seen, 'log' | 'errors'>, secret = SECRET): void {
  t.ok(log.length + errors.length > 0)
  for (const line of log) if (line.includes(secret)) t.fail(`the log says: ${line}`)
  for (const error of errors) if (shown(error).includes(secret)) t.fail(`an error says: ${shown(error)}`)
}

/** The database refuses this operation on a table, and quotes the row in all that it says. */
async function refuse (knex: Knex, table: string, operation: 'INSERT' | 'UPDATE', quoted: string): Promise<() => Promise<void>> {
  const name = `refuse_${table}_${quoted}_${operation.toLowerCase()}`
  if (knex.client.driverName === 'pg') {
    await knex.raw(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', NEW.${quoted} USING DETAIL = NEW.${quoted}, HINT = NEW.${quoted}, ERRCODE = '23514'; END $$`)
    await knex.raw(`CREATE TRIGGER ${name} BEFORE ${operation} ON ${table} FOR EACH ROW WHEN (NEW.${quoted} IS NOT NULL) EXECUTE FUNCTION ${name}()`)
    return async () => { await knex.raw(`DROP TRIGGER ${name} ON ${table}; DROP FUNCTION ${name}()`) }
  }
  await knex.raw(`CREATE TRIGGER ${name} BEFORE ${operation} ON ${table} WHEN NEW.${quoted} IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no: ' || NEW.${quoted}); END`)
  return async () => { await knex.raw(`DROP TRIGGER ${name}`) }
}

for (const { name, open: openDatabase } of databases) {
  t.test(`${name}: what is refused at the door is named by its place`, async (t) => {
    const seen = await open(t, await openDatabase())
    const { app } = seen
    await app.ready()
    const secret = secretly('door')
    for (const value of [{ password: new Date(), other: secret }, () => secret, Symbol(secret), { a: [secret, new Map([[secret, secret]])] }, secret.repeat(50_000), new (class Account { token = secret })(), { get token () { throw new Error(secret) } }]) {
      await failing(seen, 'an argument', async () => await app.tasks.enqueue(keep, value))
    }
    for (const value of [{ kind: secret }, { at: secret }, { kind: 'a', at: `x${secret}` }, secret, null]) await failing(seen, 'a schema', async () => await app.tasks.enqueue(checked, value))
    for (const options of [{ uniqueKey: secret.repeat(100) }, { tags: [secret.repeat(100)] }, { concurrencyKey: secret, concurrencyLimit: -1 }, { rateLimit: { max: 0, every: secret } }, { runAfter: secret }, { priority: secret }]) {
      await failing(seen, 'an option', () => keep.using(options as object))
    }
    await failing(seen, 'a unique key', async () => {
      const unique = keep.using({ uniqueKey: secret, onConflict: 'throw' })
      await app.tasks.enqueue(unique, secret)
      await app.tasks.enqueue(unique, secret)
    })
    t.ok(seen.errors.length > 15)
    nothingIn(t, seen)
  })

  t.test(`${name}: a database that quotes the row in its refusal is not quoted`, async (t) => {
    const seen = await open(t, await openDatabase())
    const { app, knex, errors } = seen
    app.post('/collected', async (request) => { request.tasks.enqueue(keep, secretly('collected')); return {} })
    app.post('/before', { config: { tasks: { flushOn: 'onSend' } } }, async (request) => { request.tasks.enqueue(keep, secretly('before')); return {} })
    app.post('/whole', { config: { tasks: { transaction: true } } }, async (request) => {
      await request.tasks.transaction()
      request.tasks.enqueue(keep, secretly('whole'))
      return {}
    })
    await app.ready()
    let allow = await refuse(knex, 'tasks_results', 'INSERT', 'args')
    await failing(seen, 'an enqueue', async () => await app.tasks.enqueue(keep, secretly('one')))
    await failing(seen, 'enqueueMany', async () => await app.tasks.enqueueMany(keep, [[secretly('many')], [secretly('more')]]))
    await failing(seen, 'a tagged enqueue', async () => await app.tasks.enqueue(keep.using({ tags: [secretly('tag')], uniqueKey: secretly('key') }), 1))
    await failing(seen, 'an enqueue in a transaction', async () => { await knex.transaction(async (trx) => await app.tasks.enqueue(keep.using({ transaction: trx }), secretly('trx'))) })
    for (const url of ['/collected', '/before', '/whole']) errors.push(new Error((await app.inject({ method: 'POST', url })).body))
    await app.tasks.flushed()
    await allow()

    const results = [await app.tasks.enqueue(progressing, secretly('progress')), await app.tasks.enqueue(keep, secretly('value')), await app.tasks.enqueue(transacting, secretly('transacted')), await app.tasks.enqueue(unstorable, secretly('unstorable')), await app.tasks.enqueue(later, secretly('later'))]
    const allows = [await refuse(knex, 'tasks_results', 'UPDATE', 'return_value'), await refuse(knex, 'tasks_results', 'UPDATE', 'progress')]
    const worker = createWorker(app, { interval: 20 })
    const ended = worker.run()
    for (const result of results) {
      await eventually(async () => { await result.refresh(); assert.ok(result.isFinished, result.taskName) }, { timeout: 30_000 })
      errors.push(result.errors.map(({ exceptionClass, message, traceback }) => ({ exceptionClass, message, traceback })))
      if (result.status !== 'SUCCESSFUL') await failing(seen, 'a return value', () => result.returnValue)
    }
    for (const each of allows) await each()
    allow = async () => {}
    await worker.stop()
    await ended
    nothingIn(t, seen)
  })
}

t.test('what a database is connected with is said by no error and no line of the log', async (t) => {
  const errors: unknown[] = []
  const log: string[] = []
  const boot = async (options: object, environment: Record<string, string> = {}): Promise<void> => {
    const before = { ...process.env }
    Object.assign(process.env, environment)
    const app = Fastify({ logger: { level: 'trace', stream: { write: (line) => { log.push(line) } } } })
    try {
      await app.register(fastifyTasks, { env: Object.keys(environment).length > 0, ...options })
      await app.ready()
      assert.fail('it booted')
    } catch (error) {
      errors.push(error)
    } finally {
      for (const key of Object.keys(environment)) { if (before[key] === undefined) delete process.env[key]; else process.env[key] = before[key] }
      await app.close().catch(() => {})
    }
  }
  const urls = [`postgres://user:${SECRET}@127.0.0.1:1/x`, `postgres://user:${SECRET}@no.such.host.invalid/x`, `postgres://user:${SECRET}@[bad/x`, `mysql://user:${SECRET}@127.0.0.1/x`, `postgres://user:${SECRET}%@127.0.0.1/%zz`, `postgres://user:x@127.0.0.1:1/x?sslmode=${SECRET}`]
  // Where nothing answers it is tried for seconds: all at once, and with variables only what cannot even be read.
  await Promise.all(urls.map(async (url) => { await boot({ backends: { default: { backend: 'database', url } } }) }))
  for (const url of urls.filter((url) => !URL.canParse(url) || url.startsWith('mysql'))) {
    await boot({}, { TASKS_DATABASE_URL: url })
    await boot({}, { TASKS_BACKENDS: JSON.stringify({ default: { backend: 'database', url } }) })
  }
  await boot({}, { TASKS_BACKENDS: `{"default": {"backend": "database", "url": "postgres://user:${SECRET}@x/y", }` })
  await boot({}, { TASKS_BACKEND: SECRET })
  await boot({ backends: { default: { backend: 'database', url: urls[0], options: { migrate: SECRET } } } })
  nothingIn(t, { log, errors })
})
