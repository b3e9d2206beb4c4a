import assert from 'node:assert/strict'
import t from 'tap'
import { threadId } from 'node:worker_threads'
import { ImmediateBackend, task } from 'fastify-tasks'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

const module = new URL('./fixtures/isolated.js', import.meta.url).href
const here = (): never => { throw new Error('it ran here') }

// Threads know nothing of the database: one is enough, whichever it is.
for (const database of databases.slice(0, 1)) {
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
      const spin = task('iso.spin', { isolation: { module, export: 'spin' } }, (): void => here())
      const { start } = await setting(t, database, [spin])
      start()
      const result = await spin.enqueue()
      await eventually(async () => {
        await result.refresh()
        assert.equal(result.status, 'RUNNING')
      })
      t.equal(await result.cancel(), true)
      await result.wait({ timeout: '10s' })
      t.equal(result.status, 'CANCELLED')
    })

    t.test('what it throws keeps its class and code; process.exit, a full heap and what cannot be stored are failures of it alone', async (t) => {
      const fail = task('iso.fail', { retry: { limit: 1, delay: 0 }, isolation: { module, export: 'fail', memoryLimit: 96 } }, (_how: string): void => here())
      const lost = task('iso.lost', { isolation: { module, export: 'nothing' } }, (): void => here())
      const { drain } = await setting(t, database, [fail, lost])
      const results = await fail.enqueueMany([['class'], ['fatal'], ['exit'], ['value'], ['memory']])
      const missing = await lost.enqueue()
      await drain()
      for (const result of [...results, missing]) await result.refresh()
      t.same(results.map(({ errors }) => [errors[0]?.exceptionClass, errors[0]?.code, errors.length]), [
        ['RangeError', 'E_RANGE', 2],
        ['FatalTaskError', 'FST_TASKS_FATAL', 1],
        ['FastifyError', 'FST_TASKS_PROCESS_EXIT', 2],
        ['FastifyError', 'FST_TASKS_INVALID_RESULT', 1],
        ['Error', 'ERR_WORKER_OUT_OF_MEMORY', 2]
      ])
      t.match(missing.errors[0]?.message, /exports no function 'nothing'/)
      t.ok([...results, missing].every(({ status }) => status === 'FAILED'))
    })
  })
}

t.test('an isolation that is none is refused, and so is one that the backend cannot give', async (t) => {
  const options: unknown[] = [{}, { module }, { module: 'not a url', export: 'x' }, { module: 'https://example.org/x.js', export: 'x' }, { module, export: 'x', memoryLimit: 1 }, { module, export: 'x', app: true }]
  for (const isolation of options) t.throws(() => task('iso.wrong', { isolation: isolation as never }, () => {}), { code: 'FST_TASKS_INVALID_TASK', message: /isolation/ })
  t.equal(new ImmediateBackend({ alias: 'default', app: {} as never }).supportsIsolation, false)
})
