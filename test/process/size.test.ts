import assert from 'node:assert/strict'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

t.jobs = 2

t.test('a process that has grown too large is replaced when what it runs has ended, and nothing is charged', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--max-memory', '600', '--lease', '30s'])
  const large = await app.tasks.enqueue('grow', 530, 1_500)
  await process.line(/has grown to \d+ MB, above its limit of 600 MB/)
  await large.wait({ timeout: '90s' })
  t.match(large, { status: 'SUCCESSFUL', attempts: 1, errors: { length: 0 } })
  const next = await app.tasks.enqueue('quick')
  await next.wait({ timeout: '90s' })
  t.match(next, { status: 'SUCCESSFUL', attempts: 1 })
  t.not((await runs(next.id))[0], (await runs(large.id))[0])
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0 })
})

t.test('a process that grows on far beyond its limit is killed, and what it ran is charged', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--max-memory', '300', '--lease', '5s'], { CRASH_BUDGET: '1' })
  const large = await app.tasks.enqueue('grow', 400, 60_000)
  await process.line(/far above its limit of 300 MB, and is killed/)
  await large.wait({ timeout: '90s' })
  t.match(large, { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_WORKER_LOST' }] })
  t.equal((await runs(large.id)).length, 1)
})

t.test('an app that needs more than the limit to boot is not replaced by its like for ever', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--max-memory', '10'])
  await process.line(/the limit is raised to \d+ MB/)
  const results = await Promise.all([1, 2, 3].map(async () => await app.tasks.enqueue('quick')))
  const pids = await eventually(async () => {
    const pids = (await Promise.all(results.map(async ({ id }) => await runs(id)))).flat()
    assert.equal(pids.length, 3)
    return pids
  })
  t.equal(new Set(pids).size, 1)
})
