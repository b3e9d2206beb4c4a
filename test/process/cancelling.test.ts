import assert from 'node:assert/strict'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { setting } from './setting.ts'

t.test('what runs on after SIGTERM can be cancelled by another process, and the worker then exits 0', async (t) => {
  const { app, worker, runs } = await setting(t)
  const process = worker(['--lease', '30s'])
  const result = await app.tasks.enqueue('slow', 60_000)
  await eventually(async () => { assert.equal((await runs(result.id)).length, 1) })
  process.signal('SIGTERM')
  await process.line(/waiting for running attempts/)
  t.equal(await result.cancel(), true)
  t.match(await process.exit(), { code: 0 })
  await result.refresh()
  t.match(result, { status: 'CANCELLED', attempts: 1 })
})
