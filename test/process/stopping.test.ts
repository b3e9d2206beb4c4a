import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { isAlive } from '../support/alive.ts'
import { eventually } from '../support/eventually.ts'
import { databases } from '../support/databases.ts'
import type { TestProcess } from '../support/processes.ts'
import { setting } from './setting.ts'

// Each has processes and a database of its own, and mostly waits.
t.jobs = 2

let bootMs = 800 // what a worker takes to boot, by what was seen

t.test('an idle worker that gets SIGTERM exits at once with 0', { buffered: true }, async (t) => {
  const { app, worker } = await setting(t)
  const process = worker()
  await process.line('worker ready')
  const begun = performance.now()
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0, signal: null })
  t.ok(performance.now() - begun < 25_000, 'and waits for no grace')
  t.same((await app.tasks.stats()).workers, [], 'it has signed off')
})

t.test('a running attempt ends within the grace, and nothing more is claimed', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '30s', '--concurrency', '1'])
  const running = await app.tasks.enqueue('slow', 4_000) // on a busy machine the signal takes a moment
  await eventually(async () => { assert.equal((await runs(running.id)).length, 1) })
  const waiting = await app.tasks.enqueue('quick')
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0 })
  await running.refresh()
  await waiting.refresh()
  t.match(running, { status: 'SUCCESSFUL', attempts: 1 })
  t.match(waiting, { status: 'READY', attempts: 0 })
})

t.test('what still runs after the grace is aborted and handed back, and no attempt is charged', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--shutdown-grace', '200ms'])
  const result = await app.tasks.enqueue('slow', 60_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  process.signal('SIGINT')
  t.match(await process.exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'READY', attempts: 0, errors: { length: 0 } })
})

t.test('a second signal aborts and hands back without waiting for the grace', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--shutdown-grace', '600s'])
  const result = await app.tasks.enqueue('slow', 60_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  await stopAtOnce(process)
  t.match(await process.exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'READY', attempts: 0 })
})

t.test('a second signal ends a process whose loop is blocked, and what it ran is handed back uncharged', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '900s', '--max-block', '800s'])
  await process.line('worker ready')
  const result = await app.tasks.enqueue('block', 600_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  process.signal('SIGTERM')
  process.signal('SIGINT')
  t.match(await process.exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'READY', attempts: 0, errors: { length: 0 } })
})

t.test('a process whose loop is blocked when the grace is over is ended, and what it ran is handed back uncharged', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '90s', '--max-block', '60s', '--shutdown-grace', '100ms'])
  await process.line('worker ready')
  const result = await app.tasks.enqueue('block', 60_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'READY', attempts: 0, errors: { length: 0 } })
})

t.test('a task that takes every listener off its process does not keep it from stopping', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '30s', '--shutdown-grace', '100ms'])
  const result = await app.tasks.enqueue('slow', 60_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  t.match(await (await app.tasks.enqueue('unhear')).wait(), { status: 'SUCCESSFUL' })
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'READY', attempts: 0, errors: { length: 0 } })
})

t.test('a second signal does not keep the process that hands back what was left from doing so', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '30s', '--shutdown-grace', '50ms'])
  const result = await app.tasks.enqueue('deaf', 60_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  process.signal('SIGTERM')
  await process.line('they are handed back when this process is gone')
  await process.line('worker stopped')
  await eventually(async () => { assert.equal(isAlive((await runs(result.id))[0] as number), false) })
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'READY', attempts: 0, errors: { length: 0 } })
})

t.test('a process that hands back what was left has its time from its own start, however long before it the second signal came', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  // It is started when the app has closed, 5 s after the signal, and needs 6 s.
  const process = worker(['--lease', '90s', '--shutdown-grace', '600s'], { BOOT_MS: '6000', CLOSE_MS: '4500' }, 'slow.js')
  const result = await app.tasks.enqueue('deaf', 600_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  await stopAtOnce(process)
  t.match(await process.exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'READY', attempts: 0, errors: { length: 0 } })
})

t.test('signals that come until the last moment change nothing about the exit code', { buffered: true }, async (t) => {
  const { worker } = await setting(t, 'sqlite', { open: false })
  const process = worker()
  await process.line('worker ready')
  const over = process.exit()
  for (let exit: unknown = null; exit === null; exit = await Promise.race([over, sleep(1, null)])) process.signal('SIGTERM')
  t.match(await over, { code: 0, signal: null })
})

t.test('a process that has answered is left alone by a supervisor that comes late to read it', { buffered: true }, async (t) => {
  const { app, worker, runs, ledger } = await setting(t)
  const process = worker(['--lease', '90s', '--shutdown-grace', '100ms'], {}, 'stalled.js')
  const result = await app.tasks.enqueue('untilTold')
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0 })
  t.match(await ledger(result.id), [{ what: 'run' }, { what: 'end' }])
})

t.test('an attempt that ignores the abort is handed back when its process is gone', { buffered: true }, async (t) => {
  const { app, worker, runs, ledger } = await setting(t)
  const process = worker(['--lease', '30s', '--shutdown-grace', '50ms'])
  const result = await app.tasks.enqueue('deaf', 60_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  process.signal('SIGTERM')
  const handedBack = eventually(async () => {
    await result.refresh()
    assert.equal(result.status, 'READY')
    return Date.now()
  }, { interval: 5 })
  t.match(await process.exit(), { code: 0 })
  const at = await handedBack
  t.match(result, { attempts: 0, errors: { length: 0 } })
  const beats = (await ledger(result.id)).filter(({ what }) => what === 'beat')
  t.ok(beats.length > 0)
  t.ok(beats.every((beat) => beat.at <= at), 'it did nothing any more when it was handed back')
})

t.test('a signal that comes before the worker is ready ends it at once', { buffered: true }, async (t) => {
  const { worker } = await setting(t, 'sqlite', { open: false })
  const process = worker([], { TASKS_DATABASE_URL: 'sqlite:/nowhere/tasks.sqlite3' })
  await process.line('waits for its database')
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0 })
})

t.test('a batch drains what is ready and exits 0', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const results = await Promise.all(Array.from({ length: 30 }, async () => await app.tasks.enqueue('quick')))
  t.match(await worker(['--batch', '--processes', '2']).exit(), { code: 0 })
  for (const result of results) {
    await result.refresh()
    t.equal(result.status, 'SUCCESSFUL')
    t.equal((await runs(result.id)).length, 1)
  }
})

t.test('a worker exits 0 after --max-tasks attempts and leaves the others alone', { buffered: true }, async (t) => {
  const { app, worker, ledger } = await setting(t)
  for (let count = 0; count < 5; count++) await app.tasks.enqueue('quick')
  t.match(await worker(['--max-tasks', '3']).exit(), { code: 0 })
  t.equal((await ledger()).length, 3)
  t.match(await app.tasks.stats(), { queues: { default: { ready: 2, running: 0 } } })
})

for (const { name } of databases) {
  t.test(`app.close() alone leaves nothing that would keep its process from ending, on ${name}`, { buffered: true }, async (t) => {
    const { worker } = await setting(t, name, { open: false })
    const process = worker([], {}, 'close-alone.js')
    t.match(await process.exit(), { code: 0, signal: null })
    t.same(process.stdout.slice(0, 3), ['3', 'HEY', 'FST_TASKS_CLOSED'])
    const took = Number(/closed in (\d+) ms/.exec(process.stdout.join('\n'))?.[1])
    t.ok(took < 20_000, `a hook that never returns is not waited for: ${took} ms`)
  })
}

for (const { name } of databases) {
  t.test(`app.close() leaves nothing behind that goes on once an attempt has settled which ignored its signal, on ${name}`, { buffered: true }, async (t) => {
    const { worker } = await setting(t, name, { open: false })
    const process = worker([], {}, 'close-deaf.js')
    t.match(await process.exit(), { code: 0, signal: null })
    t.same(process.stdout, ['closed', 'settled'])
  })
}

t.test('whenever SIGTERM comes, nothing is left running, nothing is charged, and nothing starts after it', { buffered: true }, async (t) => {
  const { app, worker } = await setting(t)
  const results = await Promise.all(Array.from({ length: 40 }, async (_, index) => await app.tasks.enqueue('slow', 20 + 40 * (index % 10))))
  for (const moment of [0.1, 0.5, 0.9, 1.2, 1.6]) {
    const process = worker(['--shutdown-grace', '100ms', '--concurrency', '4'])
    // In parts of what this machine takes to boot one: before it is up, while it registers, claims, runs and drains.
    const booted = process.line('worker ready').then(() => {}, () => {})
    const begun = performance.now()
    await Promise.race([booted, sleep(bootMs * moment)])
    bootMs = Math.max(bootMs, Math.min(4_000, performance.now() - begun))
    await sleep(moment > 1 ? 300 * (moment - 1) : 0)
    process.signal('SIGTERM')
    const { code, signal } = await process.exit()
    t.ok(code === 0 || signal === 'SIGTERM', `${String(code)} ${String(signal)}`) // by itself, where node had not come to our code yet
    for (const result of results) {
      await result.refresh()
      t.match(result, result.status === 'SUCCESSFUL' ? { attempts: 1, errors: { length: 0 } } : { status: 'READY', attempts: 0, errors: { length: 0 } })
    }
  }
  await eventually(async () => { assert.deepEqual((await app.tasks.stats()).workers, []) }) // one that was killed as it registered has its lease until then
})

/** Two signals, the second of which is not taken for the first. */
async function stopAtOnce (process: TestProcess): Promise<void> {
  process.signal('SIGTERM')
  await process.line('waiting for running attempts')
  process.signal('SIGTERM')
}
