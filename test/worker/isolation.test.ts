import assert from 'node:assert/strict'
import t from 'tap'
import { threadId } from 'node:worker_threads'
import Fastify from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

const fixture = (name: string): string => new URL(`./fixtures/${name}`, import.meta.url).href
const module = fixture('isolated.js')
const here = (): never => { throw new Error('it ran here') }

for (const database of databases) {
  t.test(`on ${database.name}`, async (t) => {
    t.test('an isolated task runs in a thread of its own and returns its value', async (t) => {
      const double = task('iso.double', { isolation: { module, export: 'double' } }, (_number: number): { double: number, threadId: number } => here())
      const { drain } = await setting(t, database, [double])
      const result = await double.enqueue(21)
      await drain()
      await result.refresh()
      t.equal(result.status, 'SUCCESSFUL', JSON.stringify(result.errors))
      t.equal(result.returnValue.double, 42)
      t.not(result.returnValue.threadId, threadId)
    })

    t.test('its context has a logger, progress and the result, and no app and no transaction', async (t) => {
      const tell = task('iso.tell', { takesContext: true, isolation: { module, export: 'tell' } }, (_context, _text: string): { keys: string[], attempt: number, id: string } => here())
      const { drain, lines } = await setting(t, database, [tell])
      const result = await tell.enqueue('secret')
      await drain()
      await result.refresh()
      t.same(result.returnValue, { keys: ['attempt', 'log', 'progress', 'signal', 'taskResult'], attempt: 1, id: result.id })
      t.same(result.progress, { half: true })
      t.match(lines.find(({ msg }) => msg === 'from a thread'), { task: 'iso.tell', taskId: result.id, text: 6 })
    })

    t.test('a CommonJS module will do', async (t) => {
      const triple = task('iso.triple', { isolation: { module: fixture('isolated-common.cjs'), export: 'triple' } }, (_number: number): number => here())
      const { drain } = await setting(t, database, [triple])
      const result = await triple.enqueue(2)
      await drain()
      await result.refresh()
      t.equal(result.returnValue, 6)
    })
  })
}

// What a thread does to itself is no matter of the database: one is enough, whichever it is.
for (const database of databases.slice(0, 1)) {
  t.test('threads', async (t) => {
    t.test('one that blocks its thread is killed at its timeout, and its neighbour runs on', async (t) => {
      const spin = task('iso.spin', { timeout: 300, timeoutGrace: '30s', isolation: { module, export: 'spin' } }, (): void => here())
      const double = task('iso.double', { isolation: { module, export: 'double' } }, (_number: number): { double: number } => here())
      const { drain } = await setting(t, database, [spin, double])
      const [spinning, doubling] = [await spin.enqueue(), await double.enqueue(1)]
      const began = performance.now()
      await drain()
      t.ok(performance.now() - began < 20_000, 'its grace is not waited for')
      await spinning.refresh()
      t.same([spinning.status, spinning.errors.map(({ code }) => code)], ['FAILED', ['FST_TASKS_TIMEOUT']])
      await doubling.refresh()
      t.equal(doubling.status, 'SUCCESSFUL')
    })

    t.test('one that blocks its thread is killed when it is cancelled', async (t) => {
      const spin = task('iso.spin', { timeoutGrace: '1m', isolation: { module, export: 'spin' } }, (): void => here())
      const { start } = await setting(t, database, [spin])
      start()
      const result = await spin.enqueue()
      await eventually(async () => {
        await result.refresh()
        assert.equal(result.status, 'RUNNING')
      })
      t.equal(await result.cancel(), true)
      await result.wait({ timeout: '20s' }) // a second on a machine that does nothing else; its grace is not waited for
      t.same([result.status, result.errors], ['CANCELLED', []])
    })

    t.test('what its context does not have is undefined, and what goes wrong over it says so, once', async (t) => {
      const options = { takesContext: true, retry: { limit: 2, delay: 0 } } as const
      const look = task('iso.look', { ...options, isolation: { module, export: 'look' } }, (): unknown[] => here())
      const want = task('iso.want', { ...options, isolation: { module, export: 'want' } }, (_context, _what: string): void => here())
      const { drain } = await setting(t, database, [look, want])
      const looked = await look.enqueue()
      const wanted = await want.enqueueMany([['app'], ['transaction'], ['nothing']])
      await drain()
      for (const result of [looked, ...wanted]) await result.refresh()
      t.same(looked.returnValue, ['undefined', 'undefined', false, false])
      t.same(wanted.map(({ errors }) => [errors[0]?.code, errors.length]), [['FST_TASKS_UNSUPPORTED', 1], ['FST_TASKS_UNSUPPORTED', 1], [null, 3]])
      t.match(wanted[0]?.errors[0]?.message, /context\.app in the thread of an isolated task \(.*reading 'log'/)
      t.match(wanted[1]?.errors[0]?.message, /context\.transaction in the thread/)
    })

    t.test('an export or a module that no thread can use fails without a retry, and can be put back', async (t) => {
      const retry = { limit: 3, delay: 0 }
      const lost = task('iso.lost', { retry, isolation: { module, export: 'nothing' } }, (): void => here())
      const value = task('iso.broken', { retry, isolation: { module: fixture('isolated-broken.js'), export: 'run' } }, (): void => here())
      const { drain } = await setting(t, database, [lost, value])
      const results = [await lost.enqueue(), await value.enqueue()]
      await drain()
      for (const result of results) await result.refresh()
      t.same(results.map(({ status, errors }) => [status, errors.map(({ code }) => code)]), Array(2).fill(['FAILED', ['FST_TASKS_INVALID_TASK']]))
      t.match(results[0]?.errors[0]?.message, /exports no function 'nothing'/)
      t.match(results[1]?.errors[0]?.message, /cannot be loaded in a thread: SyntaxError/)
      t.equal(await results[0]?.retry(), true)
    })

    t.test('what a call leaves behind in its thread harms nobody when it fails', async (t) => {
      const leave = task('iso.leave', { isolation: { module, export: 'leave' } }, (): void => here())
      const double = task('iso.double', { isolation: { module, export: 'double' } }, (_number: number): { double: number } => here())
      const { start, lines } = await setting(t, database, [leave, double])
      start()
      const left = await leave.enqueue()
      await left.wait()
      await eventually(() => { assert.ok(lines.some(({ msg, exceptionClass }) => /after its attempt had ended/.test(msg) && exceptionClass === 'TooLate'), 'it is told in the log') })
      const doubled = await double.enqueue(4)
      await doubled.wait()
      t.same([left.status, doubled.returnValue.double], ['SUCCESSFUL', 8])
    })

    t.test('what it throws keeps its class and code; process.exit, a full heap, what nobody caught and what cannot be stored are failures of it alone', async (t) => {
      const fail = task('iso.fail', { retry: { limit: 1, delay: 0 }, isolation: { module, export: 'fail', memoryLimit: 96 } }, (_how: string): void => here())
      const wait = task('iso.wait', async (): Promise<string> => {
        await Promise.all(results.map(async (result) => await result.wait({ timeout: '2m' })))
        return 'with them all the while'
      })
      const { drain } = await setting(t, database, [fail, wait])
      const results = await fail.enqueueMany([['class'], ['fatal'], ['exit'], ['real exit'], ['value'], ['memory'], ['uncaught'], ['rejection']])
      const neighbour = await wait.enqueue()
      await drain()
      for (const result of [...results, neighbour]) await result.refresh()
      t.same(results.map(({ errors }) => [errors[0]?.exceptionClass, errors[0]?.code, errors.length]), [
        ['RangeError', 'E_RANGE', 2],
        ['FatalTaskError', 'FST_TASKS_FATAL', 1],
        ['FastifyError', 'FST_TASKS_PROCESS_EXIT', 2],
        ['FastifyError', 'FST_TASKS_PROCESS_EXIT', 2],
        ['FastifyError', 'FST_TASKS_INVALID_RESULT', 1],
        ['Error', 'ERR_WORKER_OUT_OF_MEMORY', 2],
        ['RangeError', null, 2],
        ['RangeError', null, 2]
      ])
      t.ok(results.every(({ status }) => status === 'FAILED'))
      t.equal(neighbour.returnValue, 'with them all the while')
    })
  })
}

t.test('an isolation that is none is refused where it is said', async (t) => {
  const options: unknown[] = [{}, { module }, { module: 'not a url', export: 'x' }, { module: 'https://example.org/x.js', export: 'x' }, { module, export: 'x', memoryLimit: 1 }, { module, export: 'x', app: true }]
  for (const isolation of options) t.throws(() => task('iso.wrong', { isolation: isolation as never }, () => {}), { code: 'FST_TASKS_INVALID_TASK', message: /isolation/ })
})

t.test('a module that is no file is refused at the registration, and the module of a task is not loaded there', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifyTasks, { env: false, backends: { default: { backend: 'database', url: 'sqlite::memory:' } } })
  for (const name of ['nowhere.js', '.', 'isolated.js/x']) {
    t.throws(() => { app.tasks.add(task('iso.nowhere', { isolation: { module: fixture(name), export: 'run' } }, () => {})) }, { code: 'FST_TASKS_INVALID_TASK', message: /names no file: there is no file:/ })
  }
  app.tasks.add(task('iso.broken', { isolation: { module: fixture('isolated-broken.js?version=2'), export: 'run' } }, () => {}))
})
