import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import { task, type AnyTask, type DatabaseBackend, type TaskResult } from 'fastify-tasks'
import { STORE_UNAVAILABLE } from '#lib/core/errors.js'
import type { Ending, FinishedRow } from '#lib/store/store.js'
import { databases, type TestDatabases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { setting, type Setting } from './setting.ts'

// Of a success that nobody would hear of, a worker keeps nothing to tell until it is written. Who should hear of what came of
// it all the same, does.

const quiet = async (test: Test, database: TestDatabases, tasks: readonly AnyTask[], taskLogLevel = 'info'): Promise<Setting> => await setting(test, database, tasks, {}, { level: 'warn', taskLogLevel })

type Finish = (worker: string, endings: readonly Ending[], ended: readonly number[]) => Promise<FinishedRow[]>

/** Stand between a worker and what it writes. */
function replaceFinish ({ store }: DatabaseBackend, by: (finish: Finish) => Finish): void {
  Object.defineProperty(store, 'finish', { value: by(store.finish.bind(store)) })
}

const refusingSuccesses = (finish: Finish): Finish => async (worker, endings, ended) => {
  if (endings.some(({ status }) => status === 'SUCCESSFUL')) throw Object.assign(new STORE_UNAVAILABLE('finish tasks', '22021'), { fault: 'permanent' })
  return await finish(worker, endings, ended)
}

for (const database of databases) {
  t.test(`${database.name}: a success that the database refuses for good is logged as the failure that it becomes`, async (t) => {
    const good = task('good', async () => 1)
    const { app, backend, lines, drain } = await quiet(t, database, [good])
    replaceFinish(backend, refusingSuccesses)
    const result = await app.tasks.enqueue(good)
    await drain()
    await eventually(() => { assert.equal(lines.filter(({ msg, taskId }) => msg === 'task failed' && taskId === result.id).length, 1) })
    t.match(lines.find(({ msg }) => msg === 'task failed'), { level: 50, code: 'FST_TASKS_INVALID_RESULT', durationMs: Number })
    t.equal((await app.tasks.getResult(result.id)).status, 'FAILED')
  })

  t.test(`${database.name}: where a success is heard, the failure that it becomes is told with its error`, async (t) => {
    const good = task('good', async () => 1)
    const { app, backend, lines, drain } = await quiet(t, database, [good])
    const heard: TaskResult[] = []
    app.tasks.addHook('onFinished', (result) => { heard.push(result) })
    replaceFinish(backend, refusingSuccesses)
    await app.tasks.enqueue(good)
    await drain()
    t.equal(heard.length, 1)
    t.match(heard[0], { status: 'FAILED', errors: [{ code: 'FST_TASKS_INVALID_RESULT' }] })
    t.match(lines.filter(({ msg }) => msg === 'task failed'), [{ level: 50, code: 'FST_TASKS_INVALID_RESULT' }])
  })

  t.test(`${database.name}: a success that turns out to be cancelled is told where only that is heard`, async (t) => {
    const good = task('good', async () => 1)
    const { app, backend, lines, drain } = await quiet(t, database, [good], 'silent')
    app.log.level = 'info'
    replaceFinish(backend, (finish) => async (worker, endings, ended) => {
      await app.tasks.cancel({ task: 'good' })
      return await finish(worker, endings, ended)
    })
    const result = await app.tasks.enqueue(good)
    await drain()
    const { status } = await app.tasks.getResult(result.id)
    await eventually(() => { assert.equal(lines.filter(({ msg, taskId }) => msg === 'task cancelled' && taskId === result.id).length, 1) })
    t.match(lines.find(({ msg }) => msg === 'task cancelled'), { durationMs: Number })
    t.equal(status, 'CANCELLED')
  })

  t.test(`${database.name}: a hook that came after the end and before it was written is called`, async (t) => {
    const good = task('good', async () => 42)
    const { app, backend, drain } = await quiet(t, database, [good])
    const heard: unknown[] = []
    replaceFinish(backend, (finish) => async (worker, endings, ended) => {
      app.tasks.addHook('onFinished', ({ id, returnValue }) => { heard.push([id, returnValue]) })
      return await finish(worker, endings, ended)
    })
    const result = await app.tasks.enqueue(good)
    await drain()
    await eventually(() => { assert.deepEqual(heard, [[result.id, 42]]) })
    t.pass()
  })
}
