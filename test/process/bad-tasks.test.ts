import assert from 'node:assert/strict'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

t.jobs = 2

t.test('whatever a task throws, leaves behind or tears down is its own, and its neighbours end in the same process', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '30s'])
  await process.line('worker ready')
  const neighbour = await app.tasks.enqueue('slow', 1_500)
  await eventually(async () => { assert.equal((await runs(neighbour.id)).length, 1) })
  const thrown = {
    string: { exceptionClass: 'string', message: 'just text' },
    null: { exceptionClass: 'null', message: 'null' },
    symbol: { exceptionClass: 'symbol', message: 'Symbol(sign)' },
    frozen: { exceptionClass: 'TypeError', message: 'frozen' },
    getters: { exceptionClass: 'Error' },
    proxy: { message: /not an Error/ },
    huge: { exceptionClass: 'RangeError', message: /^x+… \(cut\)$/ },
    nul: { exceptionClass: 'RangeError', message: 'before\uFFFDafter \uFFFD' },
    circle: { exceptionClass: 'Error', message: 'round' }
  }
  const results = await Promise.all(Object.keys(thrown).map(async (what) => await app.tasks.enqueue('throws', what)))
  for (const [index, [what, error]] of Object.entries(thrown).entries()) {
    const result = await results[index]!.wait({ timeout: '90s' })
    t.match(result, { status: 'FAILED', attempts: 1, errors: [{ attempt: 1, ...error }] }, what)
    t.ok(JSON.stringify(result.errors).length < 2 ** 16, 'and it is small')
  }
  const litter = await app.tasks.enqueue('litter')
  await litter.wait({ timeout: '90s' })
  await neighbour.wait({ timeout: '90s' })
  t.match(neighbour, { status: 'SUCCESSFUL', attempts: 1, errors: { length: 0 } })
  t.same(await runs(neighbour.id), await runs(litter.id), 'it is the same process still')
  process.signal('SIGTERM')
  t.match(await process.exit(), { code: 0 }, 'timers that a task left behind hold nothing up')
})

for (const [name, what, env] of [
  ['abort', 'aborts its process', {}],
  ['exhaust', 'exhausts the memory of its process', { NODE_OPTIONS: '--max-old-space-size=96' }]
] as const) {
  t.test(`a task that ${what} is charged for it, and what was claimed beside it and had not begun is not`, { buffered: true }, async (t) => {
    const { app, worker, runs } = await setting(t)
    const bad = await app.tasks.enqueue(name)
    const neighbours = await Promise.all(Array.from({ length: 5 }, async () => await app.tasks.enqueue('quick')))
    worker(['--sweep', '60s', '--lease', '30s'], { CRASH_BUDGET: '1', ...env })
    await bad.wait({ timeout: '90s' })
    t.match(bad, { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_WORKER_LOST' }] })
    t.equal((await runs(bad.id)).length, 1)
    for (const neighbour of neighbours) t.match(await neighbour.wait({ timeout: '90s' }), { status: 'SUCCESSFUL', attempts: 1, errors: { length: 0 } })
  })
}

t.test('a task that closes its app has ended in order, and the process is replaced', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  worker()
  const closer = await app.tasks.enqueue('closeApp')
  await closer.wait({ timeout: '90s' })
  t.match(closer, { status: 'SUCCESSFUL', attempts: 1 })
  const later = await app.tasks.enqueue('quick')
  await later.wait({ timeout: '90s' })
  t.match(later, { status: 'SUCCESSFUL', attempts: 1 })
  t.not((await runs(later.id))[0], (await runs(closer.id))[0])
})

t.test('tasks that wait at once for the close of their own app take one process down, and are handed to no other', { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const closers = [await app.tasks.enqueue('awaitClose'), await app.tasks.enqueue('awaitClose')]
  worker(['--shutdown-grace', '500ms'])
  for (const closer of closers) {
    t.match(await closer.wait({ timeout: '90s' }), { status: 'FAILED', attempts: 1, errors: [{ code: 'FST_TASKS_UNSUPPORTED', message: /app\.close\(\)/ }] })
    t.equal(closer.errors.length, 1)
  }
  const pids = (await Promise.all(closers.map(async ({ id }) => await runs(id)))).flat()
  t.equal(pids.length, 2)
  t.equal(new Set(pids).size, 1, 'in one process')
  t.match(await (await app.tasks.enqueue('quick')).wait({ timeout: '90s' }), { status: 'SUCCESSFUL', attempts: 1 }, 'which was replaced')
})

t.test("a task that destroys the app's own pool does not keep its neighbours from ending: the process is replaced", { buffered: true }, async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker([], { OWN_KNEX: '1' })
  await process.line('worker ready')
  const neighbour = await app.tasks.enqueue('slow', 300)
  await eventually(async () => { assert.equal((await runs(neighbour.id)).length, 1) })
  const bad = await app.tasks.enqueue('destroyPool')
  t.teardown(() => { if (!t.passing()) t.comment(process.lines.join('\n')) })
  t.match(await bad.wait({ timeout: '90s' }), { status: 'SUCCESSFUL', attempts: 1 })
  t.match(await neighbour.wait({ timeout: '90s' }), { status: 'SUCCESSFUL', attempts: 1 })
  t.match(await (await app.tasks.enqueue('quick')).wait({ timeout: '90s' }), { status: 'SUCCESSFUL', attempts: 1 })
})
