import assert from 'node:assert/strict'
import { task } from '../../core/task.js'
import { HOSTILE_TEXTS } from '../hostile.js'
import { isUnsupported, type Chapter } from './bench.js'

/** What a result is: a snapshot that is read again only when it is asked to be. */
export const resultChapter: Chapter = (test, suite) => {
  const { runs = true } = suite
  test('supportsGetResult tells the truth: a result can be read again, or reading is refused', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    const result = await add.enqueue(1, 2)
    if (bench.backend(app).supportsGetResult) {
      const again = await add.getResult(result.id)
      assert.notEqual(again, result)
      assert.deepEqual(again.toJSON(), result.toJSON())
      assert.deepEqual((await app.tasks.getResult(result.id)).toJSON(), result.toJSON())
      assert.deepEqual((await bench.backend(app).getResult(result.id)).toJSON(), result.toJSON())
      return
    }
    for (const read of [async () => await add.getResult(result.id), async () => await app.tasks.getResult(result.id), async () => { await result.refresh() }]) {
      await assert.rejects(read, { code: 'FST_TASKS_UNSUPPORTED' })
    }
  })

  test('an id that nobody has, and one that cannot be any, is not found', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    if (!bench.backend(app).supportsGetResult) return
    const ids = ['0197a1b2-0000-7000-8000-000000000000', '', ' ', 'x', '1', 'x'.repeat(65), 'x'.repeat(100_000), ...HOSTILE_TEXTS, null, undefined, 42, {}, []] as string[]
    for (const id of ids) {
      await assert.rejects(async () => await add.getResult(id), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
      await assert.rejects(async () => await app.tasks.getResult(id), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
    }
  })

  test('a result of another task is a mismatch, of a copy by using it is not', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const other = task('test.other', async () => {})
    const app = await bench.app([add, other])
    if (!bench.backend(app).supportsGetResult) return
    const { id } = await add.using({ queueName: 'mails' }).enqueue(1, 2)
    assert.equal((await add.getResult(id)).id, id)
    assert.equal((await add.using({ queueName: 'third' }).getResult(id)).queueName, 'mails')
    await assert.rejects(async () => await other.getResult(id), { code: 'FST_TASKS_RESULT_MISMATCH' })
    assert.equal((await app.tasks.getResult(id)).taskName, 'test.add')
  })

  test('a result changes only when it is asked to, and by nobody\'s hand', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    const result = await add.enqueue(1, 2)
    const before = JSON.stringify(result)
    await bench.drain(app)
    assert.equal(JSON.stringify(result), before)
    assert.throws(() => { (result as { status: string }).status = 'SUCCESSFUL' }, TypeError)
    assert.throws(() => { (result as { id: string }).id = 'x' }, TypeError)
    assert.throws(() => { (result.errors as unknown[]).push(1) }, TypeError)
    assert.throws(() => { (result.workerIds as unknown[]).push('x') }, TypeError)
    if (bench.backend(app).supportsGetResult && runs) assert.equal((await bench.settle(app, result)).status, 'SUCCESSFUL')
  })

  test('a return value is there after a success, and says why where it is not', async (bench) => {
    const nothing = task('test.nothing', async () => {})
    const fail = task('test.fail', async () => { throw new Error('no') })
    const app = await bench.app([nothing, fail])
    const ready = await nothing.enqueue()
    if (ready.status === 'READY') assert.throws(() => ready.returnValue, { code: 'FST_TASKS_RESULT_NOT_READY' })
    if (!runs) return
    assert.equal((await bench.settle(app, ready)).returnValue, null)
    const failed = await bench.settle(app, await fail.enqueue())
    assert.throws(() => failed.returnValue, { code: 'FST_TASKS_RESULT_FAILED' })
    assert.deepEqual([failed.isFinished, Object.hasOwn(failed.toJSON(), 'returnValue'), ready.toJSON()['returnValue']], [true, false, null])
  })

  test('who waits for a result is given it when it has ended, and an error when it has not in time', async (bench) => {
    const nothing = task('test.nothing', async () => {})
    const app = await bench.app([nothing])
    if (!bench.backend(app).supportsGetResult) return
    const result = await nothing.enqueue()
    if (!result.isFinished) {
      await assert.rejects(async () => await result.wait({ timeout: 30 }), { code: 'FST_TASKS_WAIT_TIMEOUT' })
      const reason = new Error('enough')
      await assert.rejects(async () => await result.wait({ signal: AbortSignal.abort(reason) }), reason)
      const controller = new AbortController()
      const waiting = result.wait({ signal: controller.signal })
      controller.abort(reason)
      await assert.rejects(waiting, reason)
    }
    for (const timeout of [-1, NaN, 'soon', {}] as number[]) {
      if (!result.isFinished) await assert.rejects(async () => await result.wait({ timeout }), { code: 'FST_TASKS_INVALID_OPTION' })
    }
    if (!runs) return
    const [waited] = await Promise.all([result.wait(), bench.drain(app)])
    assert.deepEqual([waited === result, waited.status, waited.returnValue], [true, 'SUCCESSFUL', null])
    assert.equal(await waited.wait({ timeout: 0 }), waited)
  })

  control(test, suite)
}

const control: Chapter = (test, { runs = true }) => {
  test('a READY result that is cancelled never runs, a second time is too late, and it can be put back', async (bench) => {
    let count = 0
    const once = task('test.once', async () => { count++ })
    const app = await bench.app([once])
    const result = await once.enqueue()
    if (result.isFinished || await isUnsupported(async () => { assert.equal(await result.cancel(), true) })) return
    await result.refresh()
    assert.deepEqual([result.status, result.isFinished, result.finishedAt instanceof Date], ['CANCELLED', true, true])
    assert.throws(() => result.returnValue, { code: 'FST_TASKS_RESULT_FAILED' })
    assert.equal(await result.cancel(), false)
    await bench.drain(app)
    assert.equal(count, 0)
    if (await isUnsupported(async () => { assert.equal(await result.retry(), true) })) return
    await result.refresh()
    assert.equal(result.status, 'READY')
    assert.equal(await result.retry(), false)
    if (runs) assert.equal((await bench.settle(app, result)).status, 'SUCCESSFUL')
  })

  test('a result that has ended well is neither cancelled nor put back', async (bench) => {
    if (!runs) return
    const nothing = task('test.nothing', async () => {})
    const app = await bench.app([nothing])
    const result = await bench.settle(app, await nothing.enqueue())
    for (const verb of ['cancel', 'retry'] as const) {
      await isUnsupported(async () => { assert.equal(await result[verb](), false) })
    }
    assert.equal(result.status, 'SUCCESSFUL')
  })

  test('a unique key gives the result that stands', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    const backend = bench.backend(app)
    const first = backend.supportsUnique ? await add.using({ uniqueKey: 'k' }).enqueue(1, 2) : null
    // A backend may take the key down without acting on it; one that acts must act like this.
    if (first === null) return
    const second = await add.using({ uniqueKey: 'k' }).enqueue(3, 4)
    if (second.id === first.id) assert.deepEqual([second.isDuplicate, second.args, first.isDuplicate], [true, [1, 2], false])
    else assert.equal(runs, false)
  })
}
