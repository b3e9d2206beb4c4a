import t from 'tap'
import { checkWait, waitByReading } from '#lib/core/wait.js'
import { resultFields } from '../run/attempts.ts'

const running = resultFields()
const finished = resultFields({ status: 'SUCCESSFUL' })

t.test('it reads until the result has ended', async (t) => {
  let reads = 0
  t.equal(await waitByReading('id', async () => ++reads < 3 ? running : finished, {}), finished)
  t.equal(reads, 3)
})

t.test('a result that does not end in time is a typed error, and the reading stops', async (t) => {
  let reads = 0
  await t.rejects(waitByReading('id', async () => { reads++; return running }, { timeout: 25 }), { code: 'FST_TASKS_WAIT_TIMEOUT', message: /id did not end within 25 ms/ })
  const then = reads
  await new Promise((resolve) => { setTimeout(resolve, 40) })
  t.equal(reads, then)
  await t.rejects(waitByReading('id', async () => await new Promise(() => {}), { timeout: '10ms' }), { code: 'FST_TASKS_WAIT_TIMEOUT' })
})

t.test('a signal ends the wait with its reason, also one that is aborted already', async (t) => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const wait = waitByReading('id', async () => running, { signal: controller.signal })
  controller.abort(reason)
  await t.rejects(wait, reason)
  let reads = 0
  await t.rejects(waitByReading('id', async () => { reads++; return finished }, { signal: controller.signal }), reason)
  t.equal(reads, 0)
})

t.test('a failure to read ends the wait', async (t) => {
  await t.rejects(waitByReading('id', async () => { throw new Error('gone') }, {}), { message: 'gone' })
})

t.test('bad options are refused', async (t) => {
  for (const timeout of ['soon', -1, NaN, Infinity, null, {}]) t.throws(() => checkWait({ timeout: timeout as any }), { code: 'FST_TASKS_INVALID_OPTION' })
  t.throws(() => checkWait({ signal: {} as any }), { code: 'FST_TASKS_INVALID_OPTION' })
  t.strictSame(checkWait(), { timeout: 30_000, signal: undefined })
})

t.test('it leaves no timer behind', async (t) => {
  const count = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = count()
  await waitByReading('id', async () => finished, { timeout: '1h' })
  const controller = new AbortController()
  const wait = waitByReading('id', async () => running, { timeout: '1h', signal: controller.signal })
  setImmediate(() => { controller.abort() })
  await t.rejects(wait)
  t.equal(count(), before)
})
