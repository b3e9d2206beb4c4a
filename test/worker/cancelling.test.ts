import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { task, type TaskResult } from 'fastify-tasks'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

for (const database of databases) {
  t.test(database.name, async (t) => {
    t.test('running tasks are cancelled by id, tag, task and queue, within a second, and only these', async (t) => {
      const reasons = new Map<string, unknown>()
      const wait = async ({ signal, taskResult }: { signal: AbortSignal, taskResult: TaskResult }): Promise<void> => {
        reasons.set(taskResult.id, null)
        await sleep(60_000, undefined, { signal }).catch(() => { reasons.set(taskResult.id, signal.reason.code) })
      }
      const long = task('long', { takesContext: true }, wait)
      const other = task('other', { takesContext: true }, wait)
      const { app, start } = await setting(t, database, [long, other])
      const byId = await app.tasks.enqueue(long)
      const byTag = await app.tasks.enqueue(long.using({ tags: ['note:42'] }))
      const byTask = await app.tasks.enqueue(other)
      const byQueue = await app.tasks.enqueue(long.using({ queueName: 'mail' }))
      const left = await app.tasks.enqueue(long)
      const { worker } = start({ shutdownGrace: 0 })
      await eventually(() => { assert.equal(reasons.size, 5) })
      const begun = performance.now()
      t.same([await byId.cancel(), await app.tasks.cancel({ tag: 'note:42' }), await app.tasks.cancel({ task: other }), await app.tasks.cancel({ queueName: 'mail' })], [true, 1, 1, 1])
      for (const result of [byId, byTag, byTask, byQueue]) {
        await result.wait()
        t.match(result, { status: 'CANCELLED', attempts: 1, errors: { length: 0 } })
        t.equal(reasons.get(result.id), 'FST_TASKS_CANCELLED')
      }
      t.ok(performance.now() - begun < 8_000, 'the last of them, too: a renewal, which would tell them as well, comes after ten seconds')
      t.same([await byId.cancel(), await app.tasks.cancel({ tag: 'note:42' })], [false, 0], 'what has ended is not cancelled')
      await left.refresh()
      t.match(left, { status: 'RUNNING' })
      t.equal(reasons.get(left.id), null)
      await worker.stop()
    })

    t.test('a task that runs on while its worker drains is cancelled all the same', async (t) => {
      const started: string[] = []
      const long = task('long', { takesContext: true }, async ({ signal, taskResult }) => {
        started.push(taskResult.id)
        await sleep(60_000, undefined, { signal })
      })
      const { app, start } = await setting(t, database, [long])
      const result = await app.tasks.enqueue(long)
      const { worker, ended } = start({ shutdownGrace: '30s' })
      await eventually(() => { assert.equal(started.length, 1) })
      const begun = performance.now()
      const stopped = worker.stop()
      await sleep(100) // well into the grace
      t.equal(await result.cancel(), true)
      await Promise.all([stopped, ended])
      t.ok(performance.now() - begun < 20_000, 'and then the worker has nothing to wait for')
      await result.refresh()
      t.match(result, { status: 'CANCELLED', attempts: 1 })
    })
  })
}
