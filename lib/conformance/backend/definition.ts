import assert from 'node:assert/strict'
import type { BaseTaskBackend } from '../../backends/base.js'
import type { AnyTask, UsingOptions } from '../../core/task.js'
import { task } from '../../core/task.js'
import type { Chapter } from './bench.js'

type Flag = { [Key in keyof BaseTaskBackend]: Key extends `supports${string}` ? Key : never }[keyof BaseTaskBackend]

/** An option that a backend needs the flag for. */
const FLAGS: ReadonlyArray<{ flag: Flag, option: string, overrides: () => UsingOptions }> = [
  { flag: 'supportsDefer', option: 'runAfter', overrides: () => ({ runAfter: '1h' }) },
  { flag: 'supportsPriority', option: 'priority', overrides: () => ({ priority: 5 }) },
  { flag: 'supportsRetry', option: 'retry', overrides: () => ({ retry: 2 }) },
  { flag: 'supportsTimeout', option: 'timeout', overrides: () => ({ timeout: '1m' }) },
  { flag: 'supportsUnique', option: 'uniqueKey', overrides: () => ({ uniqueKey: 'k' }) },
  { flag: 'supportsConcurrency', option: 'concurrencyKey', overrides: () => ({ concurrencyKey: 'k', concurrencyLimit: 1 }) },
  { flag: 'supportsRateLimit', option: 'rateLimit', overrides: () => ({ rateLimit: { max: 100, every: '1s' } }) },
  { flag: 'supportsTags', option: 'tags', overrides: () => ({ tags: ['note:42'] }) },
  { flag: 'supportsCallbacks', option: 'onSuccess', overrides: () => ({ onSuccess: task('test.callback', async () => {}) }) }
]

/** What a backend can do is taken, and what it cannot do is refused, as soon as the app is known. */
export const definitionChapter: Chapter = (test) => {
  for (const { flag, option, overrides } of FLAGS) {
    test(`${flag} tells the truth: ${option} is taken where it is true, and refused in every place where it is false`, async (bench) => {
      const add = task('test.add', async (a: number, b: number) => a + b)
      const early = add.using(overrides()) // before there was an app that could have refused it
      const app = await bench.app([add])
      if (bench.backend(app)[flag]) {
        const result = await app.tasks.enqueue(add.using(overrides()), 1, 2)
        assert.equal(result.taskName, 'test.add')
        await app.tasks.enqueue(early, 1, 2)
        return
      }
      assert.throws(() => add.using(overrides()), { code: 'FST_TASKS_INVALID_TASK', message: new RegExp(option) })
      await assert.rejects(async () => await app.tasks.enqueue(early, 1, 2), { code: 'FST_TASKS_INVALID_TASK' })
      await assert.rejects(async () => await early.enqueue(1, 2), { code: 'FST_TASKS_INVALID_TASK' })
      if (option !== 'runAfter') await assert.rejects(async () => await bench.app([task('test.defined', overrides(), async () => {})]), { code: 'FST_TASKS_INVALID_TASK' })
    })
  }

  test('a queue that is not on the list is refused: at registration, in using, at enqueue', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const early = add.using({ queueName: 'other' })
    const app = await bench.app([add], { queues: ['default', 'mails'] })
    assert.throws(() => add.using({ queueName: 'other' }), { code: 'FST_TASKS_INVALID_TASK', message: /other/ })
    await assert.rejects(async () => await app.tasks.enqueue(early, 1, 2), { code: 'FST_TASKS_INVALID_TASK' })
    assert.equal((await add.using({ queueName: 'mails' }).enqueue(1, 2)).queueName, 'mails')
    await assert.rejects(async () => await bench.app([task('test.elsewhere', { queueName: 'other' }, async () => {})], { queues: ['default'] }), { code: 'FST_TASKS_INVALID_TASK' })
  })

  test('without a list of queues any name is taken', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    await bench.app([add])
    assert.equal((await add.using({ queueName: 'whatever' }).enqueue(1, 2)).queueName, 'whatever')
  })

  test('an alias that does not exist is refused: at registration, in using, at enqueue', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const early = add.using({ backend: 'nowhere' })
    const app = await bench.app([add])
    assert.throws(() => add.using({ backend: 'nowhere' }), { code: 'FST_TASKS_INVALID_BACKEND', message: /nowhere/ })
    await assert.rejects(async () => await app.tasks.enqueue(early, 1, 2), { code: 'FST_TASKS_INVALID_BACKEND' })
    await assert.rejects(async () => await bench.app([task('test.lost', { backend: 'nowhere' }, async () => {})]), { code: 'FST_TASKS_INVALID_BACKEND' })
    assert.throws(() => app.tasks.backend('nowhere'), { code: 'FST_TASKS_INVALID_BACKEND' })
  })

  test('a name is taken once in an app, and a task that was not made by task() is refused', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    assert.throws(() => { app.tasks.add(task('test.add', async () => {})) }, { code: 'FST_TASKS_DUPLICATE_TASK' })
    assert.throws(() => { app.tasks.add((async () => {}) as unknown as AnyTask) }, { code: 'FST_TASKS_INVALID_TASK' })
    assert.equal(app.tasks.task('test.add'), add)
    assert.equal(app.tasks.task('constructor'), null)
  })

  test('using never changes the original, and copies keep what they were not told', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    if (!bench.backend(app).supportsPriority) return
    const high = add.using({ priority: 100 })
    const both = high.using({ queueName: 'mails', priority: undefined })
    assert.deepEqual([add.priority, add.queueName, high.priority, high.queueName, both.priority, both.queueName], [0, 'default', 100, 'default', 100, 'mails'])
    assert.ok(Object.isFrozen(high))
    const result = await both.enqueue(1, 2)
    assert.deepEqual([result.priority, result.queueName, result.task], [100, 'mails', add])
  })

  test('a moment that has passed is taken as now, and a duration counts from the enqueue', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    if (!bench.backend(app).supportsDefer) return
    const past = new Date('2020-01-01T00:00:00Z')
    assert.deepEqual((await add.using({ runAfter: past }).enqueue(1, 2)).runAfter, past)
    const { runAfter } = await add.using({ runAfter: '1h' }).enqueue(1, 2)
    assert.ok(runAfter instanceof Date && Math.abs(runAfter.getTime() - Date.now() - 3_600_000) < 600_000)
    assert.equal((await add.using({ runAfter: '1h' }).using({ runAfter: null }).enqueue(1, 2)).runAfter, null)
  })

  test('a task called as a function runs here and now, and nothing is enqueued', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    let events = 0
    app.tasks.addHook('onEnqueued', () => { events++ })
    assert.equal(await add(20, 22), 42)
    assert.equal(events, 0)
  })
}
