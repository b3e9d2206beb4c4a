import assert from 'node:assert/strict'
import t from 'tap'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { TcpProxy } from '../faults/tcp-proxy.ts'
import { setting, type Setting } from './setting.ts'
import type { Test } from 'tap'

// A worker that is told to stop while its database is away.

t.jobs = 2

async function behindProxy (t: Test): Promise<Setting & { proxy: TcpProxy, proxied: string }> {
  const opened = await setting(t, 'postgres')
  const url = new URL(opened.url)
  const proxy = await TcpProxy.open({ host: url.hostname, port: Number(url.port) })
  t.teardown(async () => { await proxy.close() })
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  return { ...opened, proxy, proxied: url.href }
}

if (!databases.some(({ name }) => name === 'postgres')) t.pass('TASKS_TEST_ONLY leaves this out')
else {
  t.test('SIGTERM while the database is away: the worker goes on trying, and exits 0 where all was handed back in the end', { buffered: true }, async (t) => {
    const { app, worker, runs, proxy, proxied } = await behindProxy(t)
    const process = worker(['--shutdown-grace', '100ms', '--lease', '20s'], { TASKS_DATABASE_URL: proxied })
    const ended = await app.tasks.enqueue('slow', 300)
    const cut = await app.tasks.enqueue('slow', 60_000)
    await eventually(async () => { for (const { id } of [ended, cut]) assert.equal((await runs(id)).length, 1) })
    proxy.refuse()
    process.signal('SIGTERM')
    await process.line('could not be written; trying again')
    proxy.heal()
    t.match(await process.exit(), { code: 0, signal: null })
    await ended.refresh()
    await cut.refresh()
    t.match([ended, cut].map(({ status, attempts, errors }) => [status, attempts, errors.length]), [[ended.status, ended.isFinished ? 1 : 0, 0], ['READY', 0, 0]])
  })

  t.test('a worker that could not hand back what it held says so, and exits 1', { buffered: true }, async (t) => {
    const { app, worker, runs, proxy, proxied } = await behindProxy(t)
    const process = worker(['--shutdown-grace', '100ms', '--lease', '60s'], { TASKS_DATABASE_URL: proxied })
    const result = await app.tasks.enqueue('slow', 60_000)
    await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
    proxy.refuse()
    process.signal('SIGTERM')
    await process.line('could not be written; trying again')
    process.signal('SIGTERM')
    t.match(await process.exit(), { code: 1, signal: null })
    t.ok(process.stderr.some((line) => /held could not be handed back: other workers take it back when the lease has run out/.test(line)))
    await result.refresh()
    t.match(result, { status: 'RUNNING', attempts: 1 })
  })
}
