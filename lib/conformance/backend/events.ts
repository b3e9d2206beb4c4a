import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Writable } from 'node:stream'
import { task } from '../../core/task.js'
import type { TaskResult } from '../../core/result.js'
import { eventually } from '../eventually.js'
import type { Chapter } from './bench.js'

const HOOKS = ['onEnqueued', 'onStarted', 'onRetried', 'onFinished'] as const

/** Who is told of what, and that telling changes nothing. */
export const eventsChapter: Chapter = (test, { runs = true }) => {
  test('hooks and channels are told once each, in order, of a result as it was then', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    const told: string[] = []
    const published: string[] = []
    for (const hook of HOOKS) app.tasks.addHook(hook, (result) => { told.push(`${hook} ${result.taskName} ${result.status}`) })
    const listen = (message: unknown, name: string | symbol): void => { published.push(`${String(name)} ${(message as { result: TaskResult }).result.status}`) }
    const channels = ['enqueued', 'started', 'retried', 'finished'].map((name) => `fastify-tasks:${name}`)
    for (const name of channels) subscribe(name, listen)
    try {
      const result = await add.enqueue(1, 2)
      if (runs) await bench.settle(app, result)
      const expected = runs ? ['onEnqueued test.add READY', 'onStarted test.add RUNNING', 'onFinished test.add SUCCESSFUL'] : ['onEnqueued test.add READY']
      await eventually(() => { assert.deepEqual(told, expected) })
      assert.deepEqual(published, runs ? ['fastify-tasks:enqueued READY', 'fastify-tasks:started RUNNING', 'fastify-tasks:finished SUCCESSFUL'] : ['fastify-tasks:enqueued READY'])
    } finally {
      for (const name of channels) unsubscribe(name, listen)
    }
  })

  test('a retry is told between the attempts, and a failure is an end', async (bench) => {
    if (!runs) return
    const fail = task('test.fail', async () => { throw new Error('no') })
    const app = await bench.app([fail])
    if (!bench.backend(app).supportsRetry) return
    const told: string[] = []
    for (const hook of HOOKS) app.tasks.addHook(hook, (result) => { told.push(`${hook} ${result.errors.length}`) })
    await bench.settle(app, await fail.using({ retry: { limit: 1, delay: 0, jitter: 0 } }).enqueue())
    await eventually(() => { assert.deepEqual(told, ['onEnqueued 0', 'onStarted 0', 'onRetried 1', 'onStarted 1', 'onFinished 2']) })
  })

  test('a hook that throws, rejects or never returns changes no outcome and delays none', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    let last = 0
    let release: () => void = () => {}
    const never = new Promise<void>((resolve) => { release = resolve }) // not before the end of this test
    for (const hook of HOOKS) {
      app.tasks.addHook(hook, () => { throw new Error('a hook that throws') })
      app.tasks.addHook(hook, async () => { throw new Error('a hook that rejects') })
      app.tasks.addHook(hook, async () => { await never })
      app.tasks.addHook(hook, () => { last++ })
    }
    try {
      const result = await add.enqueue(1, 2)
      if (runs) assert.equal((await bench.settle(app, result)).returnValue, 3)
      await eventually(() => { assert.equal(last, runs ? 3 : 1, 'the hooks behind them are called as well') })
    } finally {
      release()
    }
  })

  test('an enqueue that is refused is told to nobody', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    let told = 0
    app.tasks.addHook('onEnqueued', () => { told++ })
    await assert.rejects(async () => await add.enqueue(NaN, 2))
    await assert.rejects(async () => await add.enqueueMany([[1, 2], [NaN, 2]]))
    assert.equal(told, 0)
  })

  test('what happens is logged once each, and never what was passed or returned', async (bench) => {
    const secret = 'hunter2-very-secret'
    const echo = task('test.echo', async (value: string) => value)
    const fail = task('test.fail', async (value: string) => { throw new Error(value) })
    const lines: Array<Record<string, unknown>> = []
    const stream = new Writable({
      write (chunk: Buffer, _encoding, done) {
        lines.push(...chunk.toString().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>))
        done()
      }
    })
    const app = await bench.app([echo, fail], { fastify: { logger: { level: 'trace', stream } } })
    const results = [await echo.enqueue(secret), await fail.enqueue(secret)]
    if (runs) for (const result of results) await bench.settle(app, result)
    for (const { id } of results) {
      const levels = (): unknown[] => lines.filter((line) => JSON.stringify(line).includes(id)).map(({ level }) => level)
      const ended = id === results[0]!.id ? 30 : 50
      await eventually(() => { assert.deepEqual(levels(), runs ? [20, 20, ended] : [20]) })
    }
    assert.ok(!JSON.stringify(lines).includes(secret), 'no line holds an argument, a return value or a message')
  })
}
