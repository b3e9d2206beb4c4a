import assert from 'node:assert/strict'
import { runInNewContext } from 'node:vm'
import { task } from '../../core/task.js'
import { ESCAPED_TEXTS, HOSTILE_TEXTS } from '../hostile.js'
import type { Chapter } from './bench.js'

/** What an enqueue takes, refuses and answers. */
export const enqueueChapter: Chapter = (test, suite) => {
  test('an enqueue answers the result: its task, arguments, backend, queue and moment', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    const result = await add.enqueue(1, 2)
    assert.ok(typeof result.id === 'string' && result.id.length > 0 && result.id.length <= 64)
    assert.deepEqual([result.taskName, result.task, result.args, result.backend, result.queueName, result.priority, result.runAfter], ['test.add', add, [1, 2], 'default', 'default', 0, null])
    assert.ok(result.enqueuedAt instanceof Date && Math.abs(result.enqueuedAt.getTime() - Date.now()) < 600_000)
    assert.equal(result.isDuplicate, false)
    assert.equal(result.isFinished, result.status !== 'READY')
    assert.equal((await app.tasks.enqueue(add, 3, 4)).args[1], 4)
    assert.deepEqual((await app.tasks.enqueue('test.add', 5, 6)).args, [5, 6])
  })

  test('every enqueue has an id of its own', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    await bench.app([add])
    const results = await Promise.all(Array.from({ length: 60 }, async (_, index) => await add.enqueue(index, 0)))
    assert.equal(new Set(results.map(({ id }) => id)).size, 60)
    assert.deepEqual(results.map(({ args }) => args[0]), Array.from({ length: 60 }, (_, index) => index))
  })

  test('many enqueues at once are answered in their order, and none of none', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    const argsList = Array.from({ length: 50 }, (_, index): [number, number] => [index, 1])
    assert.deepEqual((await add.enqueueMany(argsList)).map(({ args }) => args), argsList)
    assert.deepEqual((await app.tasks.enqueueMany(add, argsList)).map(({ args }) => args), argsList)
    assert.deepEqual(await add.enqueueMany([]), [])
  })

  test('a task that is not registered, a name that nobody knows, and an app that is closed are refused', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const stranger = task('test.add', async () => {})
    const app = await bench.app([add])
    await assert.rejects(async () => await stranger.enqueue(), { code: 'FST_TASKS_NOT_REGISTERED' })
    await assert.rejects(async () => await app.tasks.enqueue(stranger), { code: 'FST_TASKS_NOT_REGISTERED' })
    for (const name of ['test.other', 'constructor', '__proto__', '']) {
      await assert.rejects(async () => await app.tasks.enqueue(name), { code: 'FST_TASKS_UNKNOWN_TASK' })
    }
    await app.close()
    await assert.rejects(async () => await app.tasks.enqueue(add, 1, 2), { code: 'FST_TASKS_CLOSED' })
    await assert.rejects(async () => await add.enqueue(1, 2), { code: 'FST_TASKS_NOT_REGISTERED' })
  })

  test('a task of several open apps asks which one is meant', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    const other = await bench.app([add])
    await assert.rejects(async () => await add.enqueue(1, 2), { code: 'FST_TASKS_AMBIGUOUS_APP' })
    await app.tasks.enqueue(add, 1, 2)
    await other.close()
    await add.enqueue(1, 2)
  })

  values(test, suite)
}

const values: Chapter = (test) => {
  test('what JSON can say comes back as it went in', async (bench) => {
    const echo = task('test.echo', async (...args: unknown[]) => args.length)
    const app = await bench.app([echo])
    const given: unknown[] = [
      null, true, false, 0, -1, 1.5, 1e308, 5e-324, 2 ** 53, '', 'text', [], {}, [[[]]], { a: { b: [{ c: null }] } },
      ...HOSTILE_TEXTS, ...ESCAPED_TEXTS, { [HOSTILE_TEXTS[0]!]: ESCAPED_TEXTS[0], '': 1, constructor: 2, toString: 3 },
      Object.assign(Object.create(null) as object, { q: 'a null prototype' }), runInNewContext('({ from: ["another realm"] })')
    ]
    const expected = JSON.parse(JSON.stringify(given)) as unknown
    const result = await echo.enqueue(...given)
    assert.deepEqual(result.args, expected)
    if (!bench.backend(app).supportsGetResult) return
    assert.deepEqual((await app.tasks.getResult(result.id)).args, expected)
  })

  test('the three leniencies: undefined properties and trailing arguments are left out, minus zero is zero', async (bench) => {
    const echo = task('test.echo', async (...args: unknown[]) => args.length)
    await bench.app([echo])
    const { args } = await echo.enqueue({ a: 1, b: undefined }, -0, undefined, undefined)
    assert.deepEqual(args, [{ a: 1 }, 0])
    assert.ok(Object.is(args[1], 0))
    assert.equal(Object.hasOwn(args[0] as object, 'b'), false)
  })

  test('what would not come back as it went in is refused, with the path to it, and nothing is enqueued or run', async (bench) => {
    let runs = 0
    const echo = task('test.echo', async (...args: unknown[]) => { void args; runs++ })
    const app = await bench.app([echo])
    let events = 0
    app.tasks.addHook('onEnqueued', () => { events++ })
    const cycle: Record<string, unknown> = {}
    cycle['self'] = { cycle }
    class Point { x = 1 }
    const refused: unknown[] = [
      () => {}, Symbol('s'), 1n, new Date(), new Map(), new Set(), new Uint8Array(2), Buffer.from('x'), /x/, new Error('x'), new Point(), NaN, Infinity, -Infinity,
      // eslint-disable-next-line no-sparse-arrays
      [1, , 3], [undefined], cycle, JSON.parse('{"__proto__": {"polluted": true}}'), { [Symbol('key')]: 1 }, { toJSON: () => 1 }, Promise.resolve(1), new Proxy({}, { ownKeys () { throw new Error('no') } })
    ]
    for (const value of refused) {
      await assert.rejects(async () => await echo.enqueue(1, { user: [value] }), (error: { code?: string, message: string }) => {
        assert.equal(error.code, 'FST_TASKS_INVALID_ARGUMENT')
        assert.match(error.message, /args\[1\]\.user\[0\]/)
        return true
      })
      await assert.rejects(async () => await echo.enqueueMany([[1], [value], [3]]), { code: 'FST_TASKS_INVALID_ARGUMENT' })
    }
    await bench.drain(app)
    assert.deepEqual([events, runs], [0, 0])
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
  })

  test('arguments have a size and a depth, and the limit itself is taken', async (bench) => {
    const echo = task('test.echo', async (value: unknown) => { void value })
    await bench.app([echo])
    const text = (bytes: number): string => 'x'.repeat(bytes - '[""]'.length)
    await echo.enqueue(text(256 * 1024))
    await assert.rejects(async () => await echo.enqueue(text(256 * 1024 + 1)), { code: 'FST_TASKS_INVALID_ARGUMENT' })
    await assert.rejects(async () => await echo.enqueue('é'.repeat(128 * 1024)), { code: 'FST_TASKS_INVALID_ARGUMENT' })
    const nested = (depth: number): unknown => depth === 0 ? 0 : [nested(depth - 1)]
    await echo.enqueue(nested(64))
    await assert.rejects(async () => await echo.enqueue(nested(65)), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  })

  test('the arguments of a result are a copy that nobody can change', async (bench) => {
    const echo = task('test.echo', async (value: { list: number[] }) => { void value })
    await bench.app([echo])
    const given = { list: [1] }
    const { args } = await echo.enqueue(given)
    given.list.push(2)
    assert.deepEqual(args, [{ list: [1] }])
    assert.throws(() => { (args[0] as { list: number[] }).list.push(3) }, TypeError)
    assert.throws(() => { (args as unknown[]).push(3) }, TypeError)
  })
}
