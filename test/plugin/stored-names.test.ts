import t from 'tap'
import Fastify from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'
import { createWorker } from 'fastify-tasks/worker'
import { databases } from '../support/databases.ts'

// Names that an object of JavaScript has already are names like any other; and one that nobody gave is unknown.

const NAMES = ['constructor', '__proto__', 'toString', 'hasOwnProperty'] as const

for (const database of databases) {
  t.test(`tasks, queues, tags and keys may be called as what every object has, on ${database.name}`, async (t) => {
    const { url, close } = await database.open()
    const app = Fastify()
    t.teardown(async () => {
      await app.close()
      await close()
    })
    const ran: string[] = []
    const tasks = NAMES.map((name) => task(name, async (text: string) => { ran.push(name); return text }))
    await app.register(fastifyTasks, { tasks, env: false, backends: { default: { backend: 'database', url } } })
    await app.ready()
    await t.rejects(app.tasks.enqueue('valueOf', 'x'), { code: 'FST_TASKS_UNKNOWN_TASK' })
    for (const [index, name] of NAMES.entries()) {
      const result = await app.tasks.enqueue((tasks[index] as (typeof tasks)[number]).using({ queueName: name, tags: [name], uniqueKey: name, concurrencyKey: name }), name)
      t.equal((await app.tasks.enqueue(name, 'by name')).taskName, name)
      t.same((await app.tasks.list({ tag: name })).results.map(({ id }) => id), [result.id])
      t.equal((await app.tasks.list({ task: name })).results.length, 2)
      t.same((await app.tasks.list({ queueName: name })).results.map(({ id }) => id), [result.id])
    }
    const { queues, unknownTasks } = await app.tasks.stats()
    t.same(Object.keys(queues).sort(), [...NAMES, 'default'].sort())
    t.equal(Object.getPrototypeOf(queues), Object.prototype)
    t.same(unknownTasks.map(({ name }) => name).sort(), [...NAMES].sort())
    await app.tasks.pause('__proto__')
    t.equal(Object.getOwnPropertyDescriptor((await app.tasks.stats()).queues, '__proto__')?.value.paused, true)
    await app.tasks.resume('__proto__')
    await createWorker(app, { batch: true }).run()
    t.same(ran.sort(), [...NAMES, ...NAMES].sort())
  })
}

t.test('arguments that are cheap to make and dear to write out are refused in bounded time', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const note = task('note', async (_value: any) => {})
  await app.register(fastifyTasks, { tasks: [note], env: false, backends: { default: { backend: 'dummy' } } })
  await app.ready()
  const doubled = (leaf: unknown): unknown => { let value = leaf; for (let count = 0; count < 40; count++) value = [value, value]; return value }
  const endless: object = new Proxy({}, { ownKeys: () => ['a'], getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: 1 }), get: () => new Proxy({}, { ownKeys: () => ['a'], getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: 1 }), get: () => endless }) })
  let deep: object = {}
  for (let count = 0; count < 1_000_000; count++) deep = { deep }
  const long: unknown[] = []
  long.length = 2 ** 32 - 1
  const bombs: Record<string, unknown> = {
    wide: new Array(5_000_000).fill(1),
    deep,
    aliased: doubled('x'),
    'aliased, of nothing': doubled([]),
    long,
    'an array that lies': new Proxy([], { get: (_target, name) => name === 'length' ? 2 ** 32 - 1 : 1 }),
    endless,
    text: 'x'.repeat(400_000_000)
  }
  for (const [name, bomb] of Object.entries(bombs)) {
    const before = process.cpuUsage()
    await t.rejects(note.enqueue(bomb), { code: 'FST_TASKS_INVALID_ARGUMENT' }, name)
    const { user, system } = process.cpuUsage(before)
    t.ok((user + system) / 1_000 < 6_000, `${name} took ${Math.round((user + system) / 1_000)} ms of CPU`)
  }
})
