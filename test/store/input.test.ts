import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import fc from 'fast-check'
import { isDeepStrictEqual } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import knexFactory from 'knex'
import ts from 'typescript'
import fastifyTasks, { task } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { encodeArguments } from '#lib/core/json.js'
import { openStore } from '#lib/store/index.js'
import { databases, type TestDatabase } from '../support/databases.ts'
import { sources, walk } from '../structure/source.ts'

// Whatever a caller says is bound to a statement and never a part of it; and what is stored is what was said.

const MARK = 'zzmark'
const PAYLOADS = ["'", '"', '`', '\\', "\\'", '?', '??', '$1', ':name:', '--', '/*', ';DROP TABLE tasks_results;--', "' OR '1'='1", '\0', '\ud800', '\u2028', '%_', '__proto__', 'constructor'].map((text) => `${MARK}${text}${MARK}`)

const keep = task('keep', async (value: unknown) => value)

async function open (t: Test, database: TestDatabase): Promise<{ app: FastifyInstance, texts: Set<string>, use: <T>(what: string, call: () => T | Promise<T>) => Promise<T | null> }> {
  const sqlite = database.url.startsWith('sqlite:')
  const knex = sqlite
    ? knexFactory({ client: 'sqlite3', connection: { filename: database.url.slice('sqlite:'.length) }, useNullAsDefault: true })
    : knexFactory({ client: 'pg', connection: database.url })
  const texts = new Set<string>()
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await knex.destroy()
    await database.close()
  })
  await app.register(fastifyTasks, { tasks: [keep], env: false, backends: { default: { backend: 'database', knex } } })
  await app.ready()
  knex.on('query', ({ sql }: { sql: string }) => { texts.add(sql) })
  return {
    app,
    texts,
    // It works, or it is refused by us; the database is never what refuses it.
    async use (what, call) {
      try {
        return await call()
      } catch (error) {
        const { code } = error as { code?: string }
        if (code?.startsWith('FST_TASKS_') !== true || code === 'FST_TASKS_STORE_UNAVAILABLE') assert.fail(`${what}: ${String(code)} ${(error as Error).message}`)
        return null
      }
    }
  }
}

for (const { name, open: openDatabase } of databases) {
  t.test(`${name}: no text of a caller becomes a part of a statement`, async (t) => {
    const { app, texts, use } = await open(t, await openDatabase())
    const { tasks } = app
    let through = 0
    for (const text of PAYLOADS) {
      const what = JSON.stringify(text).replace(/[^ -~]/g, '.') // some of them would end a line of TAP
      await use(`queue ${what}`, async () => await tasks.enqueue(keep.using({ queueName: text }), 1))
      await use(`task ${what}`, async () => await tasks.enqueue(text, 1))
      await use(`name ${what}`, () => task(text, async () => {}))
      const tagged = await use(`tag ${what}`, async () => await tasks.enqueue(keep.using({ tags: [text] }), text))
      const unique = await use(`unique key ${what}`, async () => await tasks.enqueueMany(keep.using({ uniqueKey: text }), [[1], [2]]))
      const keyed = await use(`concurrency key ${what}`, async () => await tasks.enqueue(keep.using({ concurrencyKey: text, rateLimit: { max: 1, every: '1h', key: text } }), { [text]: text }))
      for (const filter of [{ tag: text }, { queueName: text }, { task: text }, { status: text }, { after: text }]) {
        const found = await use(`list by ${Object.keys(filter).join()} ${what}`, async () => await tasks.list(filter as object))
        if ('tag' in filter && tagged !== null) t.same(found?.results.map(({ id, args }) => ({ id, args })), [{ id: tagged.id, args: [text] }], what)
      }
      if (unique !== null) t.same(unique.map(({ isDuplicate }) => isDuplicate), [false, true], what)
      if (keyed !== null) t.same((await tasks.getResult(keyed.id)).args, [{ [text]: text }], what)
      through += [tagged, unique, keyed].filter((each) => each !== null).length
      await use(`id ${what}`, async () => await tasks.getResult(text))
      await use(`cancel ${what}`, async () => await tasks.cancel(text))
      await use(`cancel by tag ${what}`, async () => await tasks.cancel({ tag: text }))
      await use(`retry ${what}`, async () => await tasks.retry({ tag: text }))
      await use(`pause ${what}`, async () => { await tasks.pause(text); await tasks.resume(text) })
      await use(`worker id ${what}`, () => createWorker(app, { workerId: text }))
      await use(`worker queues ${what}`, () => createWorker(app, { queueName: text, excludeQueues: text }))
      if (!/^\w+$/.test(text)) for (const config of [{ tablePrefix: text }, { schema: text }]) t.throws(() => openStore({ url: name === 'sqlite' ? 'sqlite::memory:' : 'postgres://127.0.0.1/x', ...config }), { code: 'FST_TASKS_INVALID_CONFIG' })
    }
    t.ok(through > PAYLOADS.length, `${through} were stored`)
    t.ok(texts.size > 10 && texts.size < 80, `${texts.size} texts, however many values`)
    t.same([...texts].filter((sql) => sql.includes(MARK)), [])
  })

  t.test(`${name}: a page's cursor that was made up leads nowhere it should not`, async (t) => {
    const { app, use } = await open(t, await openDatabase())
    await app.tasks.enqueueMany(keep, Array.from({ length: 5 }, (_, index) => [index]))
    const { next } = await app.tasks.list({ limit: 2 })
    for (const after of [next?.toUpperCase(), `${String(next)}x`, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '00000000-0000-0000-0000-000000000000', '', '0', 'null', '[]', 7, {}, [next], true]) {
      const page = await use(`after ${JSON.stringify(after)}`, async () => await app.tasks.list({ after: after as string, limit: 2 }))
      if (page !== null) t.ok(page.results.length <= 2)
    }
  })

  t.test(`${name}: any value comes back equal from the database, as an argument and as a return value, or is refused`, async (t) => {
    const { app } = await open(t, await openDatabase())
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.string({ unit: 'grapheme' }), fc.constantFrom('\0', '\ud800', '\udfff\ud800', '__proto__', '\\u0000', '', '\u2028', '😀'))
    const number = fc.oneof(fc.double(), fc.maxSafeInteger(), fc.constantFrom(Number.MAX_VALUE, Number.MIN_VALUE, 2 ** 53 + 2, -0, 1e21, 5e-324, -1e-7, NaN, Infinity))
    const leaf = fc.oneof(text, number, fc.boolean(), fc.constant(null), fc.constant(undefined), fc.bigInt(), fc.date())
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 6 }, leaf, fc.array(tie('value'), { maxLength: 5 }), fc.dictionary(text, tie('value'), { maxKeys: 5, noNullPrototype: false }))
    }))
    const limits = { maxBytes: 256 * 1024, maxDepth: 64 }
    const accepted: Array<[unknown]> = []
    let refused = 0
    const sample = [...fc.sample(value, 300), nested(64), Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`key ${index}`, index])), 'x'.repeat(250_000)]
    for (const each of sample) {
      try {
        encodeArguments([each], limits)
        accepted.push([each])
      } catch {
        refused += 1
        await assert.rejects(app.tasks.enqueue(keep, each), { code: 'FST_TASKS_INVALID_ARGUMENT' })
      }
    }
    t.ok(accepted.length > 50 && refused > 20, `${accepted.length} accepted, ${refused} refused`)
    const results = await app.tasks.enqueueMany(keep, accepted)
    const worker = createWorker(app, { batch: true })
    await worker.run()
    for (const [index, { id }] of results.entries()) {
      const stored = await app.tasks.getResult(id)
      const expected = lenient(accepted[index])
      if (!isDeepStrictEqual(stored.args, expected)) t.fail(`argument: ${JSON.stringify(expected)} came back as ${JSON.stringify(stored.args)}`)
      const returned = (expected as unknown[])[0] ?? null
      if (!isDeepStrictEqual(stored.returnValue, returned)) t.fail(`return value: ${JSON.stringify(returned)} came back as ${JSON.stringify(stored.returnValue)}`)
    }
  })
}

t.test('nothing that a caller says is written into a statement: what is, are names and pieces of the store itself', async (t) => {
  // Objects that carry what callers said. Their fields are bound.
  const INPUTS = new Set(['row', 'request', 'filter', 'selection', 'ending', 'config', 'options', 'bindings', 'values', 'entry', 'given'])
  const SQL = /\b(?:SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|VALUES|LISTEN|NOTIFY|PRAGMA|ALTER|CREATE|DROP)\b/
  let seen = 0
  for (const { path, tree } of await sources('lib/store')) {
    walk(tree, (node) => {
      if (!ts.isTemplateExpression(node) || !SQL.test(node.getText())) return
      for (const { expression } of node.templateSpans) {
        seen += 1
        const root = rootOf(expression)
        if (INPUTS.has(root)) t.fail(`${path}:${tree.getLineAndCharacterOfPosition(expression.getStart()).line + 1} writes ${expression.getText()} into a statement`)
      }
    })
  }
  t.ok(seen > 200, `${seen} places`)
})

/** `a` of `a.b[c].d(e)`, and of `String(a.b)`. */
function rootOf (expression: ts.Expression): string {
  if (ts.isPropertyAccessExpression(expression) || ts.isElementAccessExpression(expression) || ts.isNonNullExpression(expression) || ts.isAsExpression(expression)) return rootOf(expression.expression)
  if (ts.isCallExpression(expression)) return ts.isIdentifier(expression.expression) && expression.expression.text === 'String' && expression.arguments[0] !== undefined ? rootOf(expression.arguments[0]) : rootOf(expression.expression)
  return ts.isIdentifier(expression) ? expression.text : ''
}

function nested (depth: number): unknown {
  return depth === 0 ? 1 : [nested(depth - 1)]
}

/** What the three leniencies make of a value. */
function lenient (value: unknown): unknown {
  if (Array.isArray(value)) {
    const list = value.map(lenient)
    while (list.length > 0 && list.at(-1) === undefined) list.pop()
    return list
  }
  if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined).map(([key, inner]) => [key, lenient(inner)]))
  return value === 0 ? 0 : value
}
