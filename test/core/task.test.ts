import t from 'tap'
import Fastify from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'
import { optionsOf } from '#lib/core/task.js'

const add = task('math.add', { priority: 3 }, async (a: number, b: number) => a + b)

t.test('using() of nothing is a copy that changes nothing', async (t) => {
  for (const copy of [add.using(), add.using(undefined), add.using({})]) {
    t.not(copy, add)
    t.equal(copy.priority, 3)
    t.equal(await copy(1, 2), 3)
  }
})

t.test('options that are undefined are no options, and null is refused', async (t) => {
  t.equal(task('plain', undefined, () => 1).priority, 0)
  t.throws(() => task('plain', null as never, () => 1), { code: 'FST_TASKS_INVALID_TASK' })
  t.throws(() => add.using(null as never), { code: 'FST_TASKS_INVALID_TASK' })
})

t.test('an option that a rate limit or a retry rule does not know is refused, in a definition and in using()', (t) => {
  for (const options of [{ rateLimit: { max: 1, every: '1s', keys: 'service' } }, { rateLimit: { max: 1, every: '1s', constructor: 1 } }, { retry: { limit: 1, tries: 2 } }, { retry: { limit: 1, constructor: 1 } }]) {
    t.throws(() => task('limited', options as never, () => 1), { code: 'FST_TASKS_INVALID_TASK' }, JSON.stringify(options))
    t.throws(() => add.using(options as never), { code: 'FST_TASKS_INVALID_TASK' }, JSON.stringify(options))
  }
  t.end()
})

t.test('a concurrency key that is cleared takes its limit with it, unless a limit is said anew', async (t) => {
  const limited = task('limited', { concurrencyKey: 'tenant', concurrencyLimit: 3 }, async () => {})
  t.equal(optionsOf(limited.using({ concurrencyKey: null })).concurrencyLimit, null)
  t.equal(optionsOf(limited.using({ concurrencyKey: 'other' })).concurrencyLimit, 3)
  t.throws(() => limited.using({ concurrencyKey: null, concurrencyLimit: 2 }), { code: 'FST_TASKS_INVALID_TASK' })
  t.equal(optionsOf(limited.using({ concurrencyLimit: 2 ** 31 - 1 })).concurrencyLimit, 2 ** 31 - 1)
  t.throws(() => limited.using({ concurrencyLimit: 2 ** 31 }), { code: 'FST_TASKS_INVALID_TASK', message: /concurrencyLimit must be a whole number from 1 to 2147483647/ })
})

t.test('what is no list of lists of arguments is refused alike by task.enqueueMany() and by app.tasks.enqueueMany()', async (t) => {
  let runs = 0
  const count = task('count', () => { runs += 1 })
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifyTasks, { tasks: [count], env: false })
  for (const wrong of [undefined, null, 5, 'ab', {}, [1], [[], 'ab']]) {
    await t.rejects(count.enqueueMany(wrong as never), { code: 'FST_TASKS_INVALID_ARGUMENT' }, `task: ${JSON.stringify(wrong)}`)
    await t.rejects(app.tasks.enqueueMany(count, wrong as never), { code: 'FST_TASKS_INVALID_ARGUMENT' }, `app: ${JSON.stringify(wrong)}`)
  }
  t.equal(runs, 0)
})

t.test('a copy is refused where no open app can carry it, and not where only another app cannot', async (t) => {
  const wave = task('wave', () => {})
  const [running, recording] = [Fastify(), Fastify()]
  t.teardown(async () => { await Promise.all([running.close(), recording.close()]) })
  await running.register(fastifyTasks, { tasks: [wave], env: false })
  t.throws(() => wave.using({ runAfter: '1h' }), { code: 'FST_TASKS_INVALID_TASK' })

  await recording.register(fastifyTasks, { tasks: [wave], env: false, backends: { default: { backend: 'dummy' } } })
  const later = wave.using({ runAfter: '1h' })
  t.equal((await recording.tasks.enqueue(later)).status, 'READY')
  await t.rejects(running.tasks.enqueue(later), { code: 'FST_TASKS_INVALID_TASK' })
  t.throws(() => wave.using({ backend: 'none' }), { code: 'FST_TASKS_INVALID_BACKEND' })
})
