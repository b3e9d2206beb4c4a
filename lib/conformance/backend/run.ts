import assert from 'node:assert/strict'
import { FatalTaskError } from '../../core/errors.js'
import { task } from '../../core/task.js'
import { ESCAPED_TEXTS, HOSTILE_TEXTS } from '../hostile.js'
import type { Chapter } from './bench.js'

/** What becomes of a task that runs, or of one that a backend only takes down. */
export const runChapter: Chapter = (test, suite) => {
  if (suite.runs === false) {
    test('nothing is run: results stay READY', async (bench) => {
      let count = 0
      const once = task('test.once', async () => { count++ })
      const app = await bench.app([once])
      const result = await once.enqueue()
      await bench.drain(app)
      assert.deepEqual([result.status, result.attempts, result.startedAt, result.finishedAt, count], ['READY', 0, null, null, 0])
    })
    return
  }
  successes(test, suite)
  failures(test, suite)
  again(test, suite)
}

const successes: Chapter = (test) => {
  test('a task that returns is SUCCESSFUL, with its value and its moments', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([add])
    const result = await bench.settle(app, await add.enqueue(20, 22))
    assert.deepEqual([result.status, result.returnValue, result.attempts, result.errors, result.isFinished], ['SUCCESSFUL', 42, 1, [], true])
    const { enqueuedAt, startedAt, lastAttemptedAt, finishedAt, workerIds } = result
    assert.ok(enqueuedAt !== null && startedAt !== null && lastAttemptedAt !== null && finishedAt !== null)
    assert.ok(enqueuedAt <= startedAt && startedAt <= lastAttemptedAt && lastAttemptedAt <= finishedAt)
    assert.ok(workerIds.length === 1 && typeof workerIds[0] === 'string' && workerIds[0].length > 0)
  })

  test('values of every kind are returned as they were, and nothing is null', async (bench) => {
    const echo = task('test.echo', (value: unknown) => value)
    const nothing = task('test.nothing', () => {})
    const app = await bench.app([echo, nothing])
    const values = [0, '', false, null, [], {}, { a: [1, { b: 'x' }] }, [...HOSTILE_TEXTS, ...ESCAPED_TEXTS]]
    const results = await echo.enqueueMany(values.map((value): [unknown] => [value]))
    const empty = await nothing.enqueue()
    for (const [index, result] of results.entries()) {
      await bench.settle(app, result)
      assert.deepEqual([result.status, result.returnValue], ['SUCCESSFUL', values[index]])
    }
    assert.equal((await bench.settle(app, empty)).returnValue, null)
  })

  test('a plain function, and one that returns a thenable, are tasks like others', async (bench) => {
    const plain = task('test.plain', (a: number) => a + 1)
    const thenable = task('test.thenable', () => ({ then: (resolve: (value: number) => void) => { resolve(7) } }) as unknown as Promise<number>)
    const app = await bench.app([plain, thenable])
    const results = [await plain.enqueue(1), await thenable.enqueue()]
    for (const result of results) await bench.settle(app, result)
    assert.deepEqual(results.map(({ returnValue }) => returnValue), [2, 7])
  })

  test('a task is given its arguments, and what it does to them stays with it', async (bench) => {
    const spoil = task('test.spoil', (value: { list: number[] }) => {
      try { value.list.push(2) } catch { /* a backend may give them frozen */ }
      return value.list.length
    })
    const app = await bench.app([spoil])
    const result = await bench.settle(app, await spoil.enqueue({ list: [1] }))
    assert.deepEqual(result.args, [{ list: [1] }])
  })

  test('a task that takes a context is given it before its arguments', async (bench) => {
    const seen: unknown[] = []
    const contextual = task('test.contextual', { takesContext: true }, async (context, word: string) => {
      seen.push(context.app, context.taskResult.id, context.taskResult.status, context.attempt, context.signal.aborted, Object.isFrozen(context), word)
      context.log.info('heard')
      const { progress } = context // its methods work on their own
      await progress({ done: 1 })
      return context.taskResult.args
    })
    const app = await bench.app([contextual])
    const result = await bench.settle(app, await contextual.enqueue('hello'))
    assert.deepEqual(result.returnValue, ['hello'])
    assert.equal(seen.shift(), app)
    assert.deepEqual(seen, [result.id, 'RUNNING', 1, false, true, 'hello'])
  })

  test('a task may enqueue another one', async (bench) => {
    const add = task('test.add', async (a: number, b: number) => a + b)
    const outer = task('test.outer', async () => (await add.enqueue(1, 2)).id)
    const app = await bench.app([add, outer])
    const result = await bench.settle(app, await outer.enqueue())
    assert.equal(typeof result.returnValue, 'string')
    if (!bench.backend(app).supportsGetResult) return
    assert.equal((await bench.settle(app, await add.getResult(result.returnValue))).returnValue, 3)
  })

  test('each of many is run once', async (bench) => {
    const runs = new Map<number, number>()
    const count = task('test.count', async (index: number) => { runs.set(index, (runs.get(index) ?? 0) + 1) })
    const app = await bench.app([count])
    const results = await count.enqueueMany(Array.from({ length: 40 }, (_, index): [number] => [index]))
    for (const result of results) await bench.settle(app, result)
    assert.deepEqual([...runs.values()], Array.from({ length: 40 }, () => 1))
  })

  test('what waits is run by priority, then by the moment at which it is due, then in the order of the enqueues', async (bench) => {
    const order: string[] = []
    const note = task('test.note', async (name: string) => { order.push(name) })
    const app = await bench.app([note])
    const first = await note.enqueue('plain 1')
    const { supportsPriority, supportsDefer } = bench.backend(app)
    if (first.isFinished || !supportsPriority || !supportsDefer) return // it runs within the enqueue, or has no order
    const results = [
      first,
      await note.using({ priority: -5 }).enqueue('low'),
      await note.enqueue('plain 2'),
      await note.using({ priority: 100 }).enqueue('high'),
      await note.using({ priority: 100, runAfter: '1h' }).enqueue('deferred'),
      await note.using({ priority: 100 }).enqueue('high 2'),
      await note.using({ runAfter: new Date(0) }).enqueue('past')
    ]
    await bench.drain(app)
    assert.deepEqual(order, ['high', 'high 2', 'plain 1', 'plain 2', 'past', 'low'])
    await results[4]!.refresh()
    assert.equal(results[4]!.status, 'READY')
  })
}

const failures: Chapter = (test) => {
  test('a task that throws is FAILED with what it threw, and its enqueue does not throw', async (bench) => {
    class OutOfPaper extends RangeError {
      code = 'E_PAPER'
    }
    const print = task('test.print', async () => { throw new OutOfPaper('no paper') })
    const app = await bench.app([print])
    const result = await bench.settle(app, await print.enqueue())
    assert.deepEqual([result.status, result.attempts, result.errors.length], ['FAILED', 1, 1])
    const [error] = result.errors
    assert.ok(error !== undefined)
    assert.deepEqual([error.exceptionClass, error.message, error.code, error.attempt], ['OutOfPaper', 'no paper', 'E_PAPER', 1])
    assert.match(error.traceback, /no paper[^]*at /)
    assert.ok(error.at instanceof Date && result.finishedAt instanceof Date)
  })

  test('a function that throws before it returns a promise has failed as well', async (bench) => {
    const sync = task('test.sync', () => { throw new TypeError('at once') })
    const app = await bench.app([sync])
    const [error] = (await bench.settle(app, await sync.enqueue())).errors
    assert.deepEqual([error?.exceptionClass, error?.code], ['TypeError', null])
  })

  test('whatever is thrown is recorded: no error at all, a hostile one, an enormous one', async (bench) => {
    const hostile = new Error('x')
    // `stack` first: to define it formats it, which reads the message.
    for (const name of ['stack', 'message', 'name', 'code', 'cause']) Object.defineProperty(hostile, name, { get () { throw new Error('gotcha') } })
    const circular: Error & { cause?: unknown } = new Error('circular')
    circular.cause = circular
    const thrown: unknown[] = [
      'text', '', 42, null, undefined, Symbol('s'), { a: 1 }, [], hostile, circular, new AggregateError([new Error('inner')], 'all'),
      new Error('x'.repeat(5_000_000)), new Error('a\u0000b \uD800'), Object.assign(new Error('x'), { code: { not: 'text' } }), new Proxy(new Error('x'), { get () { throw new Error('no') } })
    ]
    const fail = task('test.fail', async (index: number) => { throw thrown[index] })
    const app = await bench.app([fail])
    const results = await fail.enqueueMany(thrown.map((_, index): [number] => [index]))
    for (const [index, result] of results.entries()) {
      await bench.settle(app, result)
      assert.deepEqual([result.status, result.errors.length], ['FAILED', 1], `what was thrown: number ${index}`)
      const { exceptionClass, message, traceback, code } = result.errors[0]!
      for (const text of [exceptionClass, message, traceback]) assert.equal(typeof text, 'string')
      assert.ok(message.length <= 4 * 1024 && traceback.length <= 16 * 1024)
      assert.ok(code === null || typeof code === 'string')
    }
  })

  test('a return value that cannot be stored makes the result FAILED, and is not tried again', async (bench) => {
    let runs = 0
    const values: unknown[] = [1n, new Date(), () => {}, NaN, new Map(), 'x'.repeat(300 * 1024)]
    const weird = task('test.weird', (index: number) => { runs++; return values[index] })
    const app = await bench.app([weird])
    const using = bench.backend(app).supportsRetry ? weird.using({ retry: { limit: 3, delay: 0 } }) : weird
    const results = await using.enqueueMany(values.map((_, index): [number] => [index]))
    for (const result of results) {
      await bench.settle(app, result)
      assert.deepEqual([result.status, result.errors.map(({ code }) => code)], ['FAILED', ['FST_TASKS_INVALID_RESULT']])
    }
    assert.equal(runs, values.length)
  })

  test('a task that fails leaves the others alone', async (bench) => {
    const fail = task('test.fail', async () => { throw new Error('no') })
    const add = task('test.add', async (a: number, b: number) => a + b)
    const app = await bench.app([fail, add])
    const results = [await add.enqueue(1, 1), await fail.enqueue(), await add.enqueue(2, 2)]
    for (const result of results) await bench.settle(app, result)
    assert.deepEqual(results.map(({ status }) => status), ['SUCCESSFUL', 'FAILED', 'SUCCESSFUL'])
  })
}

const again: Chapter = (test) => {
  test('a task that fails is tried again as often as its rule says, and every error is kept', async (bench) => {
    let runs = 0
    const flaky = task('test.flaky', { takesContext: true }, async (context, failures: number) => {
      runs++
      if (context.attempt <= failures) throw new Error(`attempt ${context.attempt}`)
      return context.attempt
    })
    const app = await bench.app([flaky])
    if (!bench.backend(app).supportsRetry) return
    const patient = flaky.using({ retry: { limit: 2, delay: 1, jitter: 0 } })
    const saved = await bench.settle(app, await patient.enqueue(2))
    assert.deepEqual([saved.status, saved.returnValue, saved.attempts, runs], ['SUCCESSFUL', 3, 3, 3])
    assert.deepEqual(saved.errors.map(({ message, attempt }) => [message, attempt]), [['attempt 1', 1], ['attempt 2', 2]])
    runs = 0
    const lost = await bench.settle(app, await patient.enqueue(9))
    assert.deepEqual([lost.status, lost.attempts, lost.errors.length, runs], ['FAILED', 3, 3, 3])
    assert.ok(lost.startedAt! <= lost.lastAttemptedAt!)
  })

  test('a FatalTaskError, and a rule that says no, end it at once', async (bench) => {
    let runs = 0
    const fatal = task('test.fatal', async () => { runs++; throw new FatalTaskError('never again') })
    const choosy = task('test.choosy', { retry: { limit: 5, delay: 0, retryIf: (error) => !(error instanceof RangeError) } }, async () => { runs++; throw new RangeError('no') })
    const app = await bench.app([fatal], {})
    if (!bench.backend(app).supportsRetry) return
    app.tasks.add(choosy)
    const result = await bench.settle(app, await fatal.using({ retry: { limit: 5, delay: 0 } }).enqueue())
    assert.deepEqual([result.status, result.errors.map(({ code }) => code), runs], ['FAILED', ['FST_TASKS_FATAL'], 1])
    assert.equal((await bench.settle(app, await choosy.enqueue())).status, 'FAILED')
    assert.equal(runs, 2)
  })

  test('a task that outlives its timeout has its signal aborted and is FAILED, whatever it returns after that', async (bench) => {
    let reason: unknown
    const slow = task('test.slow', { takesContext: true }, async (context) => {
      await new Promise<void>((resolve) => { context.signal.addEventListener('abort', () => { reason = context.signal.reason; resolve() }) })
      return 'too late'
    })
    const app = await bench.app([slow])
    if (!bench.backend(app).supportsTimeout) return
    const result = await bench.settle(app, await slow.using({ timeout: 40, timeoutGrace: 1_000 }).enqueue())
    assert.deepEqual([result.status, result.errors.map(({ code }) => code)], ['FAILED', ['FST_TASKS_TIMEOUT']])
    assert.equal((reason as { code?: string }).code, 'FST_TASKS_TIMEOUT')
  })
}
