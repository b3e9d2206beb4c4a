import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { isAlive } from '../support/alive.ts'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

t.jobs = 2

t.test('worker processes end at once with a supervisor that is killed, and what they ran is run by others within the bound', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const args = ['--lease', '18s', '--max-block', '15s'] // it is the supervisor's death that ends it
  const supervisor = worker(args)
  const result = await app.tasks.enqueue('block', 60_000) // its loop does not hear of it
  const [pid] = await eventually(async () => {
    const pids = await runs(result.id)
    assert.equal(pids.length, 1)
    return pids as [number]
  })
  const heir = worker(args)
  await heir.line('worker ready')
  t.ok(isAlive(pid))
  process.kill(supervisor.pid, 'SIGKILL') // the supervisor alone, not its group
  await eventually(() => { assert.equal(isAlive(pid), false) }, { timeout: 5_000 })
  await eventually(async () => { assert.equal((await runs(result.id)).length, 2) })
  t.notOk(isAlive(pid))
})

t.test('a supervisor that is stopped for several leases costs its workers nothing, and replaces nobody when it goes on', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const supervisor = worker(['--lease', '4s', '--max-block', '3s'])
  const result = await app.tasks.enqueue('slow', 10_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  process.kill(supervisor.pid, 'SIGSTOP')
  t.match(await result.wait({ timeout: '90s' }), { status: 'SUCCESSFUL', attempts: 1, errors: { length: 0 } })
  process.kill(supervisor.pid, 'SIGCONT')
  const next = await app.tasks.enqueue('slow', 1_000)
  t.match(await next.wait({ timeout: '90s' }), { status: 'SUCCESSFUL', attempts: 1 })
  t.same(await runs(next.id), await runs(result.id), 'in the same process')
  t.notOk(supervisor.stderr.some((line) => line.includes('silent')))
  supervisor.signal('SIGTERM')
  t.match(await supervisor.exit(), { code: 0 })
})

t.test('everything that is stopped at once and goes on together has lost its lease and nothing else', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const supervisor = worker(['--lease', '3s'])
  const result = await app.tasks.enqueue('slow', 1_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  const pids = [supervisor.pid, ...await runs(result.id)]
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  await sleep(4_500) // a lease and a half
  for (const pid of pids) process.kill(pid, 'SIGCONT')
  await result.wait({ timeout: '90s' })
  t.equal(result.status, 'SUCCESSFUL')
  const next = await app.tasks.enqueue('quick')
  t.match(await next.wait({ timeout: '90s' }), { status: 'SUCCESSFUL', attempts: 1 })
  supervisor.signal('SIGTERM')
  t.match(await supervisor.exit(), { code: 0 })
})

t.test('a worker process that gets a signal by itself hands back what it runs, uncharged, and is replaced', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const supervisor = worker(['--lease', '30s', '--shutdown-grace', '100ms'])
  const result = await app.tasks.enqueue('slow', 3_000)
  const [pid] = await eventually(async () => {
    const pids = await runs(result.id)
    assert.equal(pids.length, 1)
    return pids as [number]
  })
  process.kill(pid, 'SIGTERM')
  t.match(await result.wait({ timeout: '90s' }), { status: 'SUCCESSFUL', attempts: 1, errors: { length: 0 } })
  const pids = await runs(result.id)
  t.equal(pids.length, 2)
  t.not(pids[0], pids[1])
  supervisor.signal('SIGTERM')
  t.match(await supervisor.exit(), { code: 0 })
})

t.test('processes that die again and again are started with growing pauses, never in a tight loop', { buffered: true }, async (t) => {
  const { worker, app } = await setting(t)
  const supervisor = worker([], { DIE_WHEN_READY: '1' })
  const deaths = (): number => supervisor.stderr.filter((line) => line.includes('starting another')).length
  await eventually(() => { assert.ok(deaths() >= 1) })
  const [counted, at] = [deaths(), performance.now()]
  await eventually(() => { assert.ok(deaths() >= counted + 2) })
  t.ok(performance.now() - at > 0.75 * (200 + 400), 'the pauses double from 100 ms')
  t.match(await app.tasks.stats(), { queues: {} })
  supervisor.signal('SIGTERM')
  t.match(await supervisor.exit(), { code: 0 })
})
