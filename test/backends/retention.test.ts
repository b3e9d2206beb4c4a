import assert from 'node:assert/strict'
import t from 'tap'
import Fastify from 'fastify'
import fastifyTasks, { DatabaseBackend, task, type TaskResult } from 'fastify-tasks'
import { drain } from 'fastify-tasks/testing'
import type { RunOptions } from '#lib/backends/run-options.js'
import { Pruner } from '#lib/worker/pruner.js'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'

type Retention = RunOptions['retention']
const DAY = 24 * 3_600_000

const opened = async (retention: Retention, url = 'sqlite::memory:'): Promise<ReturnType<typeof Fastify>> => {
  const app = Fastify()
  await app.register(fastifyTasks, { env: false, tasks: [work()], backends: { default: { backend: 'database', url, options: { retention } } } })
  return app
}

const work = () => task('work', async (fails: boolean) => { if (fails) throw new Error('no') })

t.test('retention is one duration for all, or one by status; null keeps, and what is not said has its default', async (t) => {
  const cases: Array<[Retention, object]> = [
    [undefined, { successful: 14 * DAY, failed: 30 * DAY, cancelled: 14 * DAY }],
    ['1h', { successful: 3_600_000, failed: 3_600_000, cancelled: 3_600_000 }],
    [0, { successful: 0, failed: 0, cancelled: 0 }],
    [null, { successful: null, failed: null, cancelled: null }],
    [{ successful: 5, cancelled: null }, { successful: 5, failed: 30 * DAY, cancelled: null }],
    [{}, { successful: 14 * DAY, failed: 30 * DAY, cancelled: 14 * DAY }]
  ]
  for (const [given, checked] of cases) {
    const app = await opened(given)
    t.same((app.tasks.backend() as DatabaseBackend).defaults.retention, checked)
    await app.close()
  }
})

t.test('retention that is none is refused at boot, by its name', async (t) => {
  const bad: Array<[unknown, RegExp]> = [
    [false, /options\.retention .*null, which keeps them/], ['never', /options\.retention /], [-1, /options\.retention /], [NaN, /options\.retention /], [Infinity, /options\.retention /], ['14', /options\.retention /],
    [{ successful: false }, /options\.retention\.successful /], [{ failed: '2 years' }, /options\.retention\.failed /], [{ cancelled: -5 }, /options\.retention\.cancelled /],
    [{ ready: '1d' }, /options\.retention\.ready .*successful, failed, cancelled/], [['1d'], /options\.retention\.0 /]
  ]
  for (const [retention, message] of bad) await t.rejects(opened(retention as Retention), { code: 'FST_TASKS_INVALID_CONFIG', message })
})

for (const { name, open } of databases) {
  t.test(`on ${name} a worker prunes by the status of a result`, async (t) => {
    const database = await open()
    t.teardown(async () => { await database.close() })
    const kept: Record<string, [Retention, string[]]> = {
      successful: [{ successful: 0, failed: null, cancelled: null }, ['FAILED', 'CANCELLED']],
      failed: [{ successful: '1h', failed: 0, cancelled: null }, ['SUCCESSFUL', 'CANCELLED']],
      cancelled: [{ successful: null, failed: '1h', cancelled: 0 }, ['SUCCESSFUL', 'FAILED']],
      all: [0, []]
    }
    for (const [which, [retention, left]] of Object.entries(kept)) {
      const app = await opened(retention, database.url)
      const backend = app.tasks.backend() as DatabaseBackend
      const tagged = app.tasks.task('work')!.using({ tags: ['old'] })
      const results = [await app.tasks.enqueue(tagged, false), await app.tasks.enqueue(tagged, true)]
      await drain(app)
      results.push(await app.tasks.enqueue(tagged, false))
      await results[2]!.cancel()
      const waiting = await app.tasks.enqueue(tagged, false)
      const pruner = new Pruner(backend.store, 'default', backend.defaults.retention, app.log)
      await eventually(async () => {
        await pruner.runOnce(new AbortController().signal)
        const { results: found } = await app.tasks.list({ tag: 'old' })
        assert.deepEqual(found.map(({ status }: TaskResult) => status).reverse(), [...left, 'READY'], which)
      })
      await waiting.cancel()
      await new Pruner(backend.store, 'default', { successful: 0, failed: 0, cancelled: 0 }, app.log).runOnce(new AbortController().signal)
      await app.close()
    }
  })
}
