import t, { type Test } from 'tap'
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { DatabaseBackend, task, type BackendOptions, type Serializer, type TaskResult } from 'fastify-tasks'
import type { Row } from '#lib/store/store.js'
import { databases, type TestDatabase } from '../support/databases.ts'

const note = () => task('note', async (_value: unknown) => {})

interface Built { app: FastifyInstance, note: ReturnType<typeof note>, backend: DatabaseBackend }

async function build (test: Test, { url }: Pick<TestDatabase, 'url'>, options: BackendOptions = {}): Promise<Built> {
  const app = Fastify()
  const own = note()
  await app.register(fastifyTasks, { env: false, tasks: [own], backends: { default: { url, ...options } } })
  test.teardown(async () => { await app.close() })
  return { app, note: own, backend: app.tasks.backend() as DatabaseBackend }
}

/** AES-256-GCM, in one string of base64. */
function encrypting (key: Buffer): Serializer {
  return {
    async encode (value) {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', key, iv)
      return Buffer.concat([iv, cipher.update(JSON.stringify(value), 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64')
    },
    async decode (text) {
      const data = Buffer.from(text, 'base64')
      const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(0, 12)).setAuthTag(data.subarray(-16))
      return JSON.parse(Buffer.concat([decipher.update(data.subarray(12, -16)), decipher.final()]).toString())
    }
  }
}

for (const { name, open } of databases) {
  t.test(name, async (t) => {
    const database = await open()
    t.teardown(async () => { await database.close() })

    t.test('concurrent enqueues share statements, and each has its own result', async (t) => {
      const { note, backend } = await build(t, database)
      let statements = 0
      const insert = backend.store.insert.bind(backend.store)
      backend.store.insert = async (...given) => {
        statements += 1
        return await insert(...given)
      }
      const results = await Promise.all(Array.from({ length: 300 }, async (_, index) => await note.enqueue(index)))
      t.same(results.map(({ args }) => args[0]), Array.from({ length: 300 }, (_, index) => index))
      t.equal(new Set(results.map(({ id }) => id)).size, 300)
      t.ok(statements < 30, `${statements} statements`)
      t.same((await note.getResult(results[77]?.id as string)).args, [77])
    })

    t.test('a result has the arguments of the moment of its enqueue, deeply frozen', async (t) => {
      const { app, note } = await build(t, database)
      const value = { list: [{ n: 1 }] }
      let held: TaskResult | undefined
      app.get('/', async (request) => {
        held = request.tasks.enqueue(note, value)
        return {}
      })
      await app.inject('/')
      const sent = Promise.all([note.enqueue(value), note.enqueueMany([[value], [value]])])
      value.list[0]!.n = 2
      value.list.length = 0
      const [one, many] = await sent
      for (const result of [held, one, ...many]) {
        t.same(result?.args, [{ list: [{ n: 1 }] }])
        const args = result?.args as any[]
        t.ok([args, args[0], args[0].list, args[0].list[0]].every((each) => Object.isFrozen(each)))
        t.equal(result?.args, args, 'made once')
      }
    })

    t.test('a queue that is full refuses what is too much, and nobody else', async (t) => {
      const { note, app } = await build(t, database, { queues: { default: {}, small: { maxReady: 3 } } })
      const small = note.using({ queueName: 'small' })
      const settled = await Promise.allSettled([small.enqueue(1), note.enqueue('other'), small.enqueueMany([[1], [2]])])
      t.same(settled.map(({ status }) => status), ['fulfilled', 'fulfilled', 'fulfilled'])
      const [refused, fine] = await Promise.allSettled([small.enqueue(4), note.enqueue('other')])
      t.match(refused, { status: 'rejected', reason: { code: 'FST_TASKS_QUEUE_FULL', statusCode: 503 } })
      t.equal(fine?.status, 'fulfilled')
      t.equal(await app.tasks.cancel({ queueName: 'small' }), 3)
      await small.enqueue(5)
      await t.rejects(small.enqueueMany([[1], [2], [3]]), { code: 'FST_TASKS_QUEUE_FULL' })
      t.equal((await app.tasks.list({ queueName: 'small', status: 'READY' })).results.length, 1, 'all of them, or none')
      t.throws(() => note.using({ queueName: 'unknown' }), { code: 'FST_TASKS_INVALID_TASK' })
    })

    t.test('a serializer keeps the values of a row from whoever reads the table', async (t) => {
      const key = randomBytes(32)
      const { note, backend, app } = await build(t, database, { options: { serializer: encrypting(key) } })
      const { id } = await note.enqueue({ secret: 'hunter2' })
      const row = await backend.store.get(id)
      t.notMatch(row?.args, /hunter2/)
      t.same((await note.getResult(id)).args, [{ secret: 'hunter2' }])
      t.same((await app.tasks.list({ limit: 1 })).results[0]?.args, [{ secret: 'hunter2' }])
      t.equal(await backend.encode?.({ a: 1 }).then((text) => typeof text), 'string')
      await t.rejects(async () => await backend.encode?.(new Date()), { code: 'FST_TASKS_INVALID_ARGUMENT' })

      const other = await build(t, database, { options: { serializer: encrypting(randomBytes(32)) } })
      await t.rejects(other.note.getResult(id), { code: 'FST_TASKS_RESULT_UNREADABLE' })
      const blind = other.backend.resultOf(await other.backend.decodeReadable({ ...row as Row, status: 'SUCCESSFUL', returnValue: 'x', progress: '1' }))
      for (const value of ['args', 'progress', 'returnValue'] as const) t.throws(() => blind[value], { code: 'FST_TASKS_RESULT_UNREADABLE' })
      const { id: readable } = await other.note.enqueue(2)
      const finished = new Promise<string>((resolve) => { other.app.tasks.addHook('onFinished', async ({ id }) => { resolve(id) }) })
      const { results } = await other.app.tasks.list({ limit: 2 })
      t.same(results.map(({ id }) => id), [readable, id], 'one that cannot be read is listed all the same')
      t.same([results[0]?.args, results[1]?.taskName, results[1]?.progress], [[2], 'note', null])
      t.throws(() => results[1]?.args, { code: 'FST_TASKS_RESULT_UNREADABLE' })
      t.match(JSON.parse(JSON.stringify(results[1])), { id, status: 'READY', unreadable: ['args'], args: undefined })
      t.equal(await results[1]?.cancel(), true)
      t.equal(await finished, id, 'and can be cancelled, and heard of')
      for (const encode of [() => { throw new Error('hunter2') }, () => 7, () => 'a\0b', () => '\ud800'] as Array<Serializer['encode']>) {
        const broken = await build(t, database, { options: { serializer: { encode, decode: JSON.parse } } })
        await t.rejects(broken.note.enqueue({ a: 1 }), { code: 'FST_TASKS_INVALID_ARGUMENT' })
        t.notMatch(await broken.note.enqueue(1).catch((error: Error) => error.message), /hunter2/)
      }
    })

    t.test('a result under a unique key is the one that stands, and says so', async (t) => {
      const { app, note } = await build(t, database)
      const enqueued: string[] = []
      app.tasks.addHook('onEnqueued', ({ id }) => { enqueued.push(id) })
      const keyed = note.using({ uniqueKey: `key ${Math.random()}` })
      const results = await Promise.all(Array.from({ length: 20 }, async (_, index) => await keyed.enqueue(index)))
      t.equal(new Set(results.map(({ id }) => id)).size, 1)
      t.equal(results.filter(({ isDuplicate }) => !isDuplicate).length, 1)
      t.equal(enqueued.length, 1, 'a duplicate is not told of')
      const [first] = results as TaskResult[] as [TaskResult]
      const duplicate = await keyed.enqueue('another')
      await duplicate.refresh()
      t.equal(duplicate.isDuplicate, true, 'also after a refresh')
      t.same(duplicate.args, first.args)
      await t.rejects(keyed.using({ onConflict: 'throw' }).enqueue('x'), { code: 'FST_TASKS_NOT_UNIQUE' })

      let held: TaskResult | undefined
      app.get('/', async (request) => { held = request.tasks.enqueue(keyed, 'held'); return { id: held.id } })
      const { id } = (await app.inject('/')).json()
      await app.tasks.flushed()
      t.not(id, first.id)
      t.equal(held?.id, id, 'a snapshot')
      await held?.refresh()
      t.match(held, { id: first.id, isDuplicate: true, args: first.args }, 'refresh follows to the row that stands')
    })

    t.test('a worker reads the rules of a row and of its task', async (t) => {
      const { note, backend } = await build(t, database, { options: { timeout: '9s', retry: 4 } })
      const plain = await backend.store.get((await note.enqueue(1)).id)
      const changed = await backend.store.get((await note.using({ timeout: '1s', retry: 2 }).enqueue(1)).id)
      t.equal(plain?.options, null)
      t.match(backend.rulesOf(note, plain as NonNullable<typeof plain>), { timeout: 9_000, timeoutGrace: 5_000, retry: { limit: 4 } })
      t.match(backend.rulesOf(note, changed as NonNullable<typeof changed>), { timeout: 1_000, retry: { limit: 2 } })
      t.throws(() => note.using({ retry: { limit: 1, backoff: () => 1 } }), { code: 'FST_TASKS_INVALID_TASK' })
    })

    t.test('what cannot be done yet is refused when the app is known', async (t) => {
      const { app, note } = await build(t, database)
      t.throws(() => note.using({ onSuccess: note }), { code: 'FST_TASKS_INVALID_TASK', message: /onSuccess/ })
      t.throws(() => note.using({ onFailure: note }), { code: 'FST_TASKS_INVALID_TASK', message: /onFailure/ })
      t.throws(() => { app.tasks.add(task('isolated', { isolation: { module: 'a', export: 'b' } }, async () => {})) }, { code: 'FST_TASKS_INVALID_TASK' })
    })

    t.test('size and depth have limits of the backend', async (t) => {
      const { note } = await build(t, database, { options: { maxArgumentBytes: 100, maxDepth: 2 } })
      await note.enqueue('x'.repeat(90))
      await t.rejects(note.enqueue('x'.repeat(100)), { code: 'FST_TASKS_INVALID_ARGUMENT' })
      await t.rejects(note.enqueue([[[1]]]), { code: 'FST_TASKS_INVALID_ARGUMENT' })
    })

    t.test('NUL, lone surrogates and what looks like SQL come back as they went in', async (t) => {
      const { note } = await build(t, database)
      const value = { 'k\0\ud800': ['\0', '\udfff', "'; DROP TABLE tasks_results; --", '$1 ?? \\', 'é🙂'] }
      t.same((await note.getResult((await note.enqueue(value)).id)).args, [value])
    })
  })
}

t.test('a database that cannot be opened stops the boot with a typed error', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const register = app.register(fastifyTasks, { env: false, backends: { default: { url: 'sqlite:/nonexistent/folder/a.sqlite3' } } })
  await t.rejects(async () => { await register }, { code: 'FST_TASKS_STORE_UNAVAILABLE' })
})
