import t from 'tap'
import { DummyBackend } from '#lib/backends/dummy.js'
import { task } from '#lib/core/task.js'
import { createHost, enqueue, requestOf } from './host.ts'

const add = task('math.add', async (a: number, b: number) => { throw new Error(`ran with ${a} and ${b}`) })

function create (options: object = {}) {
  const host = createHost(add)
  return { ...host, backend: new DummyBackend({ alias: 'default', app: host.app, options }) }
}

t.test('nothing runs, and every enqueue is remembered in order', async (t) => {
  const { backend } = create()
  await backend.enqueue([requestOf(add, 1, 2), requestOf(add, 3, 4)])
  await enqueue(backend, add.using({ priority: 7, runAfter: new Date(1e12) }), 5, 6)
  t.strictSame(backend.results.map(({ args }) => args), [[1, 2], [3, 4], [5, 6]])
  t.match(backend.results[2], { status: 'READY', priority: 7, runAfter: new Date(1e12), attempts: 0, startedAt: null })
  t.ok(backend.results[0]?.enqueuedAt instanceof Date)
})

t.test('a returned result is independent of the stored one', async (t) => {
  const { backend } = create()
  const result = await enqueue(backend, add.using({ runAfter: '1h' }), 1, 2)
  t.not(result, backend.results[0])
  t.equal(result.id, backend.results[0]?.id)
  const before = backend.results[0]?.runAfter?.getTime()
  result.runAfter.setTime(0)
  result.enqueuedAt.setTime(0)
  t.equal(backend.results[0]?.runAfter?.getTime(), before)
  await result.refresh()
  t.equal(result.runAfter.getTime(), before)
})

t.test('results are found by their id until they are cleared', async (t) => {
  const { backend } = create()
  const { id } = await enqueue(backend, add, 1, 2)
  t.equal((await backend.getResult(id)).id, id)
  await t.rejects(backend.getResult('other'), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
  const { results } = backend
  backend.clear()
  t.equal(results.length, 0)
  await t.rejects(backend.getResult(id), { code: 'FST_TASKS_RESULT_NOT_FOUND' })
})

t.test('every option is accepted', async (t) => {
  const { backend } = create()
  for (const options of [{ runAfter: '1s' }, { uniqueKey: 'k' }, { tags: ['a'] }, { concurrencyKey: 'k', concurrencyLimit: 1 }, { rateLimit: { max: 1, every: '1s' } }, { onSuccess: add }, { retry: 2 }, { timeout: '1s' }, { priority: -3 }]) {
    t.doesNotThrow(() => { backend.validateTask(add.using(options as any)) })
  }
})

t.test('a result can be cancelled and put back, and waiting for it ends in time', async (t) => {
  const { backend } = create()
  const result = await enqueue(backend, add, 1, 2)
  await t.rejects(result.wait({ timeout: 20 }), { code: 'FST_TASKS_WAIT_TIMEOUT' })
  const waiting = (await backend.getResult(result.id)).wait()
  t.equal(await result.retry(), false)
  t.equal(await result.cancel(), true)
  t.equal(await result.cancel(), false)
  t.equal((await waiting).status, 'CANCELLED')
  t.equal(backend.results[0]?.status, 'CANCELLED')
  t.equal(await result.retry(), true)
  await result.refresh()
  t.match(result, { status: 'READY', finishedAt: null })
})

t.test('its options are checked like those of the others', async (t) => {
  t.throws(() => create({ maxDepth: 'x' }), { code: 'FST_TASKS_INVALID_CONFIG' })
})

t.test('what was recorded is listed and cancelled by status, queue, task and tag', async (t) => {
  const { backend } = create()
  const first = await enqueue(backend, add.using({ tags: ['note:42', 'a'] }), 1, 1)
  const second = await enqueue(backend, add.using({ tags: ['note:42'], queueName: 'high' }), 2, 2)
  const third = await enqueue(backend, add, 3, 3)
  const listed = async (filter: object): Promise<string[]> => (await backend.list({ limit: 10, ...filter })).results.map(({ id }) => id)
  t.strictSame(await listed({}), [third.id, second.id, first.id])
  t.strictSame(await listed({ tag: 'note:42' }), [second.id, first.id])
  t.strictSame(await listed({ tag: 'note:42', queue: 'default', task: 'math.add', status: 'READY' }), [first.id])
  t.strictSame(await listed({ task: 'other' }), [])

  const page = await backend.list({ limit: 2 })
  t.equal(page.next, second.id)
  t.strictSame(await listed({ after: page.next }), [first.id])
  t.equal((await backend.list({ limit: 1, after: second.id })).next, null)

  t.equal(await backend.cancel({ tag: 'note:42' }), 2)
  t.equal(await backend.cancel({ tag: 'note:42' }), 0)
  t.equal(await backend.cancel({ id: 'unknown' }), 0)
  t.strictSame(backend.results.map(({ status }) => status), ['CANCELLED', 'CANCELLED', 'READY'])
  t.equal(await backend.retry({ queue: 'high' }), 1)
  t.strictSame(await listed({ status: 'CANCELLED' }), [first.id])
  backend.clear()
  t.strictSame(await listed({}), [])
})
