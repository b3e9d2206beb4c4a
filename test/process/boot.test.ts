import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

// Each has processes and a database of its own, and mostly waits.
t.jobs = 2

t.test('an app that does not boot is not started again: the error is printed and the exit code is 1', { buffered: true }, async (t) => {
  const { worker } = await setting(t, 'sqlite', { open: false })
  const process = worker([], {}, 'broken.js')
  t.match(await process.exit(), { code: 1 })
  t.equal(process.stderr.filter((line) => line.includes('Error: the app is broken')).length, 1)
})

t.test('a worker process that is killed before it is ready is started again', { buffered: true }, async (t) => {
  const { worker, app } = await setting(t)
  const result = await app.tasks.enqueue('quick')
  const process = worker(['--batch'], {}, 'killed-once.js')
  t.match(await process.exit(), { code: 0 })
  await result.wait({ timeout: '90s' })
  t.match(result, { status: 'SUCCESSFUL', attempts: 1 })
})

t.test('a worker process that gets SIGTERM by itself before it is ready is replaced', { buffered: true }, async (t) => {
  const { worker, app } = await setting(t)
  const result = await app.tasks.enqueue('quick')
  const process = worker(['--batch'], { SIGNAL: 'SIGTERM' }, 'killed-once.js')
  t.match(await process.exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'SUCCESSFUL', attempts: 1 })
})

t.test('a system that refuses processes is asked again, and those that are there work on', { buffered: true }, async (t) => {
  const { worker, app, runs } = await setting(t)
  // Two, one of them at the second try; then, for one that is killed, ENOMEM, which is thrown, EMFILE and EAGAIN, which are not.
  const process = worker(['--processes', '2', '--concurrency', '1', '--lease', '30s'], { FORKS: '0,-12,0,-12,-24,-11' }, 'refused.js')
  const results = await Promise.all([1, 2].map(async () => await app.tasks.enqueue('slow', 600_000)))
  const [killed, left] = await eventually(async () => {
    const pids = (await Promise.all(results.map(async ({ id }) => await runs(id)))).flat()
    assert.equal(pids.length, 2)
    return pids as [number, number]
  })
  globalThis.process.kill(killed, 'SIGKILL')
  for (const reason of ['ENOMEM', 'EMFILE', 'EAGAIN']) await process.line(new RegExp(`a worker process: spawn .*${reason}`))
  await eventually(async () => { assert.equal((await runs((results[0] as { id: string }).id)).length, 2) })
  t.same(await runs((results[1] as { id: string }).id), [left])
  process.signal('SIGTERM')
  process.signal('SIGINT')
  t.match(await process.exit(), { code: 0 })
})

t.test('an app that does not boot ends its worker, also where another process is still to be started', { buffered: true }, async (t) => {
  const { worker } = await setting(t, 'sqlite', { open: false })
  const process = worker(['--processes', '2'], { FORKS: `0${',-12'.repeat(100)}`, TASKS_DATABASE_URL: 'nonsense:' }, 'refused.js')
  t.match(await process.exit(), { code: 1 })
})

t.test('a worker process whose supervisor is killed while it loads ends as well', { buffered: true }, async (t) => {
  const { worker } = await setting(t, 'sqlite', { open: false })
  const process = worker([], {}, 'orphaned.js')
  await process.line('loading')
  process.signal('SIGKILL')
  t.match(await process.exit({ timeout: 20_000 }), { signal: 'SIGKILL' }, 'and with it all that held its output open')
})

t.test('an app that listens to messages of the process that started it does not take those of the supervisor', { buffered: true }, async (t) => {
  const { worker, app } = await setting(t)
  const result = await app.tasks.enqueue('quick')
  t.match(await worker(['--batch'], {}, 'listening.js').exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'SUCCESSFUL', attempts: 1 })
})

for (const SIGNAL of ['SIGKILL', 'SIGTERM']) {
  t.test(`an app that sends its process ${SIGNAL} whenever it boots is given up`, { buffered: true }, async (t) => {
    const { worker } = await setting(t, 'sqlite', { open: false })
    t.match(await worker([], { EVERY_TIME: '1', SIGNAL }, 'killed-once.js').exit(), { code: 1 })
  })
}

// Which are wrong: test/worker/options.test.ts.
t.test('flags that are wrong are named, and the exit code is 2', { buffered: true }, async (t) => {
  const { worker } = await setting(t, 'sqlite', { open: false })
  await Promise.all(([
    [[], 'TASKS_WORKER_INTERVAL is not valid', { TASKS_WORKER_INTERVAL: 'often' }],
    [['--colour'], '--colour is not valid'],
    [['--lease', '2s', '--max-block', '2s'], '--max-block is not valid']
  ] as ReadonlyArray<[string[], string, NodeJS.ProcessEnv?]>).map(async ([args, named, env]) => {
    const process = worker(args, env)
    t.match(await process.exit(), { code: 2 }, args.join(' '))
    t.ok(process.stderr.some((line) => line.includes(named)), named)
  }))
})

t.test('--help prints the flags and starts nothing', { buffered: true }, async (t) => {
  const { worker } = await setting(t, 'sqlite', { open: false })
  const process = worker(['--help'])
  t.match(await process.exit(), { code: 0 })
  t.ok(process.stdout.some((line) => line.includes('--shutdown-grace TIME')))
})

t.test('a worker waits for a database that is away at the start, and says so', { buffered: true }, async (t) => {
  const { worker } = await setting(t, 'sqlite', { open: false })
  const folder = join(await mkdtemp(join(tmpdir(), 'fastify-tasks-late-')), 'later')
  t.teardown(async () => { await rm(join(folder, '..'), { recursive: true, force: true }) })
  const process = worker([], { TASKS_DATABASE_URL: `sqlite:${join(folder, 'tasks.sqlite3')}` })
  await process.line('waits for its database')
  await mkdir(folder)
  await process.line('worker ready')
})

t.test('a worker waits for a database that swallows what it is sent, and says so', { buffered: true }, async (t) => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { worker } = await setting(t, 'sqlite', { open: false })
  t.teardown(() => { silent.close() })
  const process = worker([], { TASKS_DATABASE_URL: `postgres://nobody@127.0.0.1:${(silent.address() as AddressInfo).port}/none` })
  await process.line('waits for its database')
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0, signal: null })
})

t.test('several processes share the work, and one that is killed is replaced', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '30s', '--processes', '2', '--concurrency', '1', '--worker-id', 'mail'])
  const results = await Promise.all([1, 2].map(async () => await app.tasks.enqueue('slow', 60_000)))
  const pids = await eventually(async () => {
    const pids = await Promise.all(results.map(async ({ id }) => (await runs(id))[0]))
    assert.ok(pids.every((pid) => pid !== undefined), 'not yet')
    return pids as number[]
  })
  t.not(pids[0], pids[1])
  t.not(pids[0], process.pid, 'the supervisor runs nothing itself')
  t.match((await app.tasks.stats()).workers.map(({ id }) => id), [/^mail-/, /^mail-/])
  globalThis.process.kill(pids[0] as number, 'SIGKILL')
  await eventually(async () => { assert.equal((await runs((results[0] as { id: string }).id)).length, 2) })
})
