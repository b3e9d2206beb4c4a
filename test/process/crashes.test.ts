import assert from 'node:assert/strict'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

// Each has processes and a database of its own, and mostly waits.
t.jobs = 2

t.test('what a killed worker ran is run by another within lease, sweep and poll, and the death is charged', { buffered: true }, async (t) => {
  const { app, worker, runs, ledger } = await setting(t)
  const victim = worker()
  const result = await app.tasks.enqueue('slow', 60_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  const heir = worker(['--interval', '10s'])
  await heir.line('worker ready')
  const killed = Date.now()
  victim.signal('SIGKILL')
  await eventually(async () => { assert.equal((await runs(result.id)).length, 2) })
  const again = (await ledger(result.id)).at(-1)
  t.ok((again?.at ?? Infinity) - killed < 5_000 + 200 + 10_000, 'within the bound')
  await result.refresh()
  t.match(result, { status: 'RUNNING', attempts: 2, errors: [{ code: 'FST_TASKS_WORKER_LOST', attempt: 1 }] })
})

t.test('a task that kills its process spends its own budget, the last of it in quarantine, and its neighbours end as they would have', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const killer = await app.tasks.enqueue('kill')
  const neighbours = await Promise.all(Array.from({ length: 10 }, async () => await app.tasks.enqueue('quick')))
  worker(['--concurrency', '1'])
  await killer.wait({ timeout: '90s' })
  t.match(killer, { status: 'FAILED', attempts: 3, errors: [{}, {}, { code: 'FST_TASKS_WORKER_LOST', attempt: 3 }] })
  for (const neighbour of neighbours) {
    await neighbour.wait({ timeout: '90s' })
    // Beside the first death, or the second, it may have been running too, or have ended without that being written yet.
    t.equal(neighbour.status, 'SUCCESSFUL')
    t.ok(neighbour.attempts <= 3)
  }
  const alone = (await runs(killer.id)).at(-1)
  for (const { id } of neighbours) t.notOk((await runs(id)).includes(alone as number), 'nothing else ran in the last process')
})

t.test('a task that blocks the loop for less than --max-block is not run twice', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const args = ['--lease', '6s', '--max-block', '5s']
  const processes = [worker(args), worker(args)]
  for (const process of processes) await process.line('worker ready')
  const result = await app.tasks.enqueue('block', 4_500)
  await result.wait({ timeout: '90s' })
  t.match(result, { status: 'SUCCESSFUL', attempts: 1 })
  t.equal((await runs(result.id)).length, 1)
})

t.test('a process whose loop stands still for longer than --max-block is killed, so that no two attempts overlap', { buffered: true }, async (t) => {
  const { app, worker, ledger } = await setting(t)
  const process = worker([], { CRASH_BUDGET: '1' })
  await process.line('worker ready')
  const result = await app.tasks.enqueue('block', 60_000)
  await result.wait({ timeout: '90s' })
  t.match(result, { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_WORKER_LOST' }] })
  t.ok(process.stderr.some((line) => /stood still for \d+ ms|silent for \d+ ms/.test(line)), 'by its keeper, or by its supervisor where that thread is not up yet')
  t.equal((await ledger(result.id)).filter(({ what }) => what === 'end').length, 0)
})

t.test('the loop is watched, and the lease renewed beside it, under a lease of any length', { buffered: true }, async (t) => {
  const { app, worker } = await setting(t)
  const process = worker(['--lease', '10s', '--max-block', '1s'], { CRASH_BUDGET: '1' }) // a sixth of it is no whole number of milliseconds
  await process.line('worker ready')
  const result = await app.tasks.enqueue('block', 60_000)
  t.match(await result.wait({ timeout: '90s' }), { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_WORKER_LOST' }] })
  t.ok(process.stderr.some((line) => /stood still for \d+ ms/.test(line)), 'by the thread that renews the lease')
})

t.test('a task that blocks beyond its timeout and grace ends as timed out with its process, and its neighbours are not charged', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '10s'])
  await process.line('worker ready')
  const neighbour = await app.tasks.enqueue('slow', 3_000)
  await eventually(async () => { assert.equal((await runs(neighbour.id)).length, 1) })
  const blocker = await app.tasks.enqueue('blockLimited', 60_000)
  await blocker.wait({ timeout: '90s' })
  t.match(blocker, { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_TIMEOUT' }] })
  await neighbour.wait({ timeout: '90s' })
  t.match(neighbour, { status: 'SUCCESSFUL', attempts: 1, errors: { length: 0 } })
  t.equal((await runs(neighbour.id)).length, 2)
})

t.test('an attempt that ignores its timeout is retried only when its process is gone', { buffered: true }, async (t) => {
  const { app, worker, runs, ledger } = await setting(t)
  worker(['--lease', '30s'])
  const result = await app.tasks.enqueue('hang')
  await result.wait({ timeout: '90s' })
  t.match(result, { status: 'SUCCESSFUL', attempts: 2, errors: [{ code: 'FST_TASKS_TIMEOUT' }] })
  const [first, second] = await runs(result.id)
  t.not(first, second)
  const entries = await ledger(result.id)
  const again = entries.findIndex(({ what, pid }) => what === 'run' && pid === second)
  t.ok(entries.slice(again).every(({ pid }) => pid === second), 'the first did nothing any more')
})

t.test('process.exit and late errors of a task are its own failure, and its neighbours end in the same process', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '30s'])
  await process.line('worker ready')
  const neighbour = await app.tasks.enqueue('slow', 1_500)
  const exits = await app.tasks.enqueue('exit', 3)
  const throws = await app.tasks.enqueue('throwAfter')
  await exits.wait({ timeout: '90s' })
  t.match(exits, { status: 'FAILED', errors: [{ code: 'FST_TASKS_PROCESS_EXIT', message: /process\.exit\(3\)/ }] })
  await throws.wait({ timeout: '90s' })
  t.equal(throws.status, 'SUCCESSFUL')
  await process.line('an exception of a task after its attempt had ended')
  const later = await app.tasks.enqueue('exitLater')
  await later.wait({ timeout: '90s' })
  t.match(later, { status: 'FAILED', errors: [{ code: 'FST_TASKS_PROCESS_EXIT' }] })
  await neighbour.wait({ timeout: '90s' })
  t.match(neighbour, { status: 'SUCCESSFUL', attempts: 1 })
  t.same(await runs(neighbour.id), await runs(exits.id))
  const rejects = await app.tasks.enqueue('rejectLate')
  await rejects.wait({ timeout: '90s' })
  t.match(rejects, { status: 'FAILED', errors: [{ exceptionClass: 'RangeError', message: 'nobody listens' }] })
})

t.test('a process that is stopped as a whole is replaced, and does nothing more when it could go on', { buffered: true }, async (t) => {
  const { app, worker, runs, ledger } = await setting(t)
  const process = worker()
  const result = await app.tasks.enqueue('deaf', 4_000)
  const [pid] = await eventually(async () => {
    const pids = await runs(result.id)
    assert.equal(pids.length, 1)
    return pids as [number]
  })
  globalThis.process.kill(pid, 'SIGSTOP')
  await process.line('has been silent for')
  await result.wait({ timeout: '90s' })
  t.match(result, { status: 'SUCCESSFUL', attempts: 2, errors: [{ code: 'FST_TASKS_WORKER_LOST' }] })
  const entries = await ledger(result.id)
  const again = entries.findIndex((entry) => entry.what === 'run' && entry.pid !== pid)
  t.ok(entries.slice(again).every((entry) => entry.pid !== pid))
})
