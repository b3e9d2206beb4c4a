import t, { type Test } from 'tap'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task, type AnyTask, type DatabaseBackend } from 'fastify-tasks'
import { drain } from 'fastify-tasks/testing'
import { encryptingSerializer, UnknownKeyError, type Encryption } from '../../docs/recipes/encrypting-serializer.ts'
import { databases } from '../support/databases.ts'

const SECRET = 'attack-at-dawn'
const key = (name: string): Uint8Array => createHash('sha256').update(name).digest()

async function build (t: Test, url: string, encryption: Encryption, ...tasks: AnyTask[]): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifyTasks, { env: false, tasks, backends: { default: { url, options: { serializer: encryptingSerializer(encryption) } } } })
  await app.ready()
  return app
}

/** All that the database holds of the results, as somebody sees it who has its disk. */
async function stored (app: FastifyInstance, url: string): Promise<string> {
  const { store } = app.tasks.backend() as unknown as DatabaseBackend
  const open = await store.begin()
  const rows = JSON.stringify(await open.transaction('tasks_results').select())
  await open.rollback()
  if (!url.startsWith('sqlite:')) return rows
  const file = url.slice('sqlite:'.length)
  const names = (await readdir(dirname(file))).filter((name) => name.startsWith(basename(file)))
  return rows + (await Promise.all(names.map(async (name) => await readFile(join(dirname(file), name), 'latin1')))).join('')
}

for (const { name, open } of databases) {
  t.test(`on ${name}, values are encrypted, keys rotate, and what cannot be read does not run`, async (t) => {
    const { url, close } = await open()
    t.teardown(close)
    let runs = 0
    const spell = task('spell', { takesContext: true, retry: 3 }, async (context, text: string) => {
      runs += 1
      await context.progress({ spelt: text })
      return text
    })
    const first = await build(t, url, { current: '2025', keys: { 2025: key('old') } }, spell)
    const old = await spell.enqueue(SECRET)
    await drain(first)
    const waiting = await spell.enqueue(SECRET)
    const tampered = await spell.enqueue(SECRET)
    await old.refresh()
    t.same([old.args, old.progress, old.returnValue], [[SECRET], { spelt: SECRET }, SECRET])
    const disk = await stored(first, url)
    t.match(disk, 'v1.2025.')
    t.notMatch(disk, SECRET)
    const { store } = first.tasks.backend() as unknown as DatabaseBackend
    const { transaction, commit } = await store.begin()
    const row = await transaction('tasks_results').where({ id: tampered.id }).first('args')
    const last = row.args.at(-2)
    await transaction('tasks_results').where({ id: tampered.id }).update({ args: row.args.slice(0, -2) + (last === 'A' ? 'B' : 'A') + row.args.slice(-1) })
    await commit()
    await first.close()

    const second = await build(t, url, { current: '2026', keys: { 2025: key('old'), 2026: key('new') } }, spell)
    t.equal((await second.tasks.getResult(old.id)).returnValue, SECRET, 'the old key still reads')
    runs = 0
    await drain(second)
    t.equal((await second.tasks.getResult(waiting.id)).returnValue, SECRET)
    t.equal(runs, 1, 'what was tampered with has not run')
    const kept = await (second.tasks.backend() as unknown as DatabaseBackend).store.get(tampered.id)
    t.match(kept, { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_RESULT_UNREADABLE' }] })
    await t.rejects(second.tasks.getResult(tampered.id), { code: 'FST_TASKS_RESULT_UNREADABLE' })
    const unread = await spell.enqueue(SECRET)
    t.match(await stored(second, url), 'v1.2026.')
    await second.close()

    const third = await build(t, url, { current: '2025', keys: { 2025: key('old') } }, spell)
    const error: any = await third.tasks.getResult(unread.id).catch((refusal: unknown) => refusal)
    t.match(error, { code: 'FST_TASKS_RESULT_UNREADABLE', cause: { code: 'UNKNOWN_KEY' } })
    t.notMatch(JSON.stringify(error), SECRET)
    runs = 0
    await drain(third)
    t.equal(runs, 0)
    t.match(await (third.tasks.backend() as unknown as DatabaseBackend).store.get(unread.id), { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_RESULT_UNREADABLE' }] })
  })
}

t.test('a text is bound to its key and its purpose, and is never the same twice', async (t) => {
  const keys = { a: key('a'), b: key('a') }
  const serializer = encryptingSerializer({ current: 'a', keys })
  const text = await serializer.encode({ x: [1, null, 'é'] })
  t.same(serializer.decode(text), { x: [1, null, 'é'] })
  t.not(await serializer.encode(1), await serializer.encode(1))
  t.throws(() => serializer.decode(text.replace('v1.a.', 'v1.b.')), 'the id of another key, though of the same bytes')
  t.throws(() => encryptingSerializer({ current: 'a', keys, purpose: 'another' }).decode(text))
  t.throws(() => serializer.decode(text.replace('v1.a.', 'v1.c.')), UnknownKeyError)
  for (const wrong of ['', '[1]', 'v2.a.AAAA', 'v1.a.', 'v1.a.AAAA']) t.throws(() => serializer.decode(wrong))
  t.throws(() => encryptingSerializer({ current: 'a', keys: { a: key('a').subarray(1) } }), TypeError)
  t.throws(() => encryptingSerializer({ current: 'c', keys }), UnknownKeyError)
  t.throws(() => encryptingSerializer({ current: 'a b', keys: { 'a b': key('a') } }), TypeError)
})
