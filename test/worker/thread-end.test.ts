import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ThreadEnd } from '#lib/worker/thread-end.js'
import { startProcess } from '../support/processes.ts'

const fixture = fileURLToPath(new URL('fixtures/keepers.js', import.meta.url))

// node-sqlite3 aborts the process (SIGABRT) where a thread is taken down while a statement or a close is under way in it.
t.jobs = 2
for (const how of ['exits', 'stops'] as const) {
  t.test(`a process that ${how} while the statements of its keepers wait for a lock ends with its own exit code`, { timeout: 60_000, buffered: true }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-keepers-'))
    t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
    const child = startProcess(t, fixture, { args: [join(folder, 'tasks.sqlite3'), how] })
    t.same(await child.exit(), { code: 7, signal: null }, child.lines.join('\n'))
  })
}

for (const milliseconds of [200, 500, 800]) {
  t.test(`a process that exits ${milliseconds} ms after its keepers began to load does so with its own exit code`, { timeout: 60_000, buffered: true }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-keepers-'))
    t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
    const child = startProcess(t, fixture, { args: [join(folder, 'tasks.sqlite3'), String(milliseconds)] })
    t.same(await child.exit(), { code: 7, signal: null }, child.lines.join('\n'))
  })
}

t.test('a process that gives up a lease while its renewals wait for a lock is not taken for one that stands still', { timeout: 60_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-keepers-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  const child = startProcess(t, fileURLToPath(new URL('fixtures/lost-lease.js', import.meta.url)), { args: [join(folder, 'tasks.sqlite3')] })
  t.same(await child.exit(), { code: 7, signal: null }, child.lines.join('\n'))
})

t.test('a thread that has nothing open is not waited for, and opens nothing any more', async (t) => {
  const end = new ThreadEnd()
  t.equal(end.leave(), false)
  t.equal(new ThreadEnd(end.memory).open(), false)
})

t.test('a thread that has something open is waited for until it has closed it, and no longer than that', async (t) => {
  const main = new ThreadEnd()
  const other = new ThreadEnd(main.memory)
  t.equal(other.open(), true)
  t.equal(main.leave(), true)
  const begun = performance.now()
  main.wait(50)
  t.ok(performance.now() - begun >= 45, 'it is still open')
  other.closed()
  main.wait(60_000)
  t.equal(main.leave(), false, 'it is closed')
})
