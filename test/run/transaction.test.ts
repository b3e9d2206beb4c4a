import t from 'tap'
import { setImmediate as turn } from 'node:timers/promises'
import { contextAttempt, createLog } from './attempts.ts'

const forever = async (): Promise<never> => await new Promise(() => {})
const trx = { name: 'trx' } as any

/** A store's transaction: runs the function, encodes its value, commits. */
function createTransaction () {
  const log: string[] = []
  const transaction = async (fn: any, encode: any): Promise<any> => {
    try {
      const value = await fn(trx)
      log.push(`commit ${await encode(value)}`)
      return value
    } catch (error) {
      log.push('rollback')
      throw error
    }
  }
  return { log, transaction }
}

t.test('a transaction ends the attempt with its value, which the handler gets as well', async (t) => {
  const { log, transaction } = createTransaction()
  const attempt = contextAttempt(async (context) => {
    const value = await context.transaction(async (given: unknown) => { t.equal(given, trx); return { id: 1 } })
    t.strictSame(value, { id: 1 })
    return 'ignored'
  }, { transaction })
  t.match(await attempt.outcome, { kind: 'committed', value: { id: 1 } })
  await attempt.settled
  t.strictSame(log, ['commit {"id":1}'])
})

t.test('what the handler does after it changes nothing', async (t) => {
  const { log, lines } = createLog()
  for (const later of [() => { throw new Error('secret') }, forever]) {
    const { transaction } = createTransaction()
    const attempt = contextAttempt(async (context) => { await context.transaction(async () => 1); await later() }, { transaction, log })
    t.match(await attempt.outcome, { kind: 'committed', value: 1 })
    attempt.abort('cancelled')
    if (later !== forever) await attempt.settled
  }
  t.equal(lines.length, 1)
  t.match(lines[0], { level: 'warn', taskId: 'result-1', exceptionClass: 'Error' })
  t.notMatch(JSON.stringify(lines), /secret/)
})

t.test('a handler that goes on after it hears of an abort, and is overdue when its grace is over', async (t) => {
  const { transaction } = createTransaction()
  const reasons: unknown[] = []
  for (const [cause, code] of [['shutdown', 'FST_TASKS_SHUTDOWN'], ['timeout', 'FST_TASKS_TIMEOUT']] as const) {
    const attempt = contextAttempt(async (context) => {
      context.signal.addEventListener('abort', () => { reasons.push(context.signal.reason) })
      await context.transaction(async () => 1)
      await forever()
    }, { transaction, timeoutGrace: 20, timeout: cause === 'timeout' ? 20 : null })
    t.match(await attempt.outcome, { kind: 'committed', value: 1 })
    if (cause === 'shutdown') attempt.abort(cause)
    await attempt.overdue
    t.match(reasons.at(-1), { code })
    t.notOk(attempt.isSettled)
  }
})

t.test('one that hangs gives its transaction up at the end of the grace, and has settled when all of it has', async (t) => {
  const { log, transaction } = createTransaction()
  let refused: unknown
  let wake = (): void => {}
  const attempt = contextAttempt(async (context) => { await context.transaction(async () => { await new Promise<void>((resolve) => { wake = resolve }) }).catch((error: unknown) => { refused = error }) }, { transaction, timeout: 10, timeoutGrace: 10 })
  t.match(await attempt.outcome, { kind: 'failed', failure: { code: 'FST_TASKS_TIMEOUT' } })
  await attempt.overdue
  for (let turns = 0; turns < 5; turns++) await turn()
  t.same(log, ['rollback'])
  t.match(refused, { code: 'FST_TASKS_ATTEMPT_ENDED' })
  t.notOk(attempt.isSettled, 'what it gave to the transaction goes on')
  wake()
  await attempt.settled
  t.same(log, ['rollback'])
})

t.test('one that has ended while it waited for its transaction does not begin in it', async (t) => {
  const { log, transaction } = createTransaction()
  let begun = false
  let grant = (): void => {}
  const waits = async (fn: any, encode: any): Promise<any> => {
    await new Promise<void>((resolve) => { grant = resolve })
    return await transaction(fn, encode)
  }
  const attempt = contextAttempt(async (context) => { await context.transaction(async () => { begun = true }) }, { transaction: waits, timeout: 10, timeoutGrace: 10 })
  t.match(await attempt.outcome, { kind: 'failed', failure: { code: 'FST_TASKS_TIMEOUT' } })
  grant()
  await attempt.settled
  t.same([begun, log], [false, ['rollback']])
})

t.test('a second transaction is refused, beside the first and after it', async (t) => {
  const { transaction } = createTransaction()
  const attempt = contextAttempt(async (context) => {
    await context.transaction(async () => { await t.rejects(context.transaction(async () => 2), { code: 'FST_TASKS_ATTEMPT_ENDED' }) })
    await t.rejects(context.transaction(async () => 2), { code: 'FST_TASKS_ATTEMPT_ENDED' })
    await t.rejects(context.progress(1), { code: 'FST_TASKS_ATTEMPT_ENDED' })
  }, { transaction })
  t.match(await attempt.outcome, { kind: 'committed', value: undefined })
  await attempt.settled
})

t.test('a transaction that throws ends nothing: the handler goes on and may try again', async (t) => {
  const { log, transaction } = createTransaction()
  const outcome = await contextAttempt(async (context) => {
    await t.rejects(context.transaction(async () => { throw new Error('mine') }), { message: 'mine' })
    return await context.transaction(async () => 2)
  }, { transaction }).outcome
  t.match(outcome, { kind: 'committed', value: 2 })
  t.strictSame(log, ['rollback', 'commit 2'])
})

t.test('a value that cannot be stored rolls back and fails the attempt for good', async (t) => {
  const { log, transaction } = createTransaction()
  const outcome = await contextAttempt(async (context) => await context.transaction(async () => new Date()), { transaction }).outcome
  t.match(outcome, { kind: 'failed', final: true, failure: { code: 'FST_TASKS_INVALID_RESULT' } })
  t.strictSame(log, ['rollback'])
})

t.test('nothing is committed after a timeout, a cancellation or a lost lease; a shutdown lets it through', async (t) => {
  for (const [cause, code] of [['timeout', 'TIMEOUT'], ['cancelled', 'CANCELLED'], ['lease-lost', 'LEASE_LOST']] as const) {
    const { log, transaction } = createTransaction()
    const attempt = contextAttempt(async (context) => {
      await turn()
      await t.rejects(context.transaction(async () => { attempt.abort(cause); return 1 }), { code: `FST_TASKS_${code}` })
      await t.rejects(context.transaction(async () => 1), { code: `FST_TASKS_${code}` })
    }, { transaction })
    t.not((await attempt.outcome).kind, 'committed')
    await attempt.settled
    t.strictSame(log, ['rollback'])
  }
  const { transaction } = createTransaction()
  const attempt = contextAttempt(async (context) => { await turn(); await context.transaction(async () => { attempt.abort('shutdown') }) }, { transaction })
  t.match(await attempt.outcome, { kind: 'committed' })
})

t.test('a backend without transactions says so', async (t) => {
  const outcome = await contextAttempt(async (context) => await context.transaction(async () => 1)).outcome
  t.match(outcome, { kind: 'failed', failure: { code: 'FST_TASKS_UNSUPPORTED' } })
})

t.test('a transaction that the function does not await decides all the same', async (t) => {
  const { log, transaction } = createTransaction()
  const committed = contextAttempt((context) => { void context.transaction(async () => { await turn(); return 1 }) }, { transaction })
  t.match(await committed.outcome, { kind: 'committed', value: 1 })
  const failed = contextAttempt((context) => { context.transaction(async () => { await turn(); throw new Error('mine') }).catch(() => {}) }, { transaction })
  t.match(await failed.outcome, { kind: 'failed', failure: { message: 'mine' } })
  t.strictSame(log, ['commit 1', 'rollback'])
})

t.test('a function that throws past its open transaction has failed, and nothing is committed', async (t) => {
  const { log, transaction } = createTransaction()
  let rejected: Promise<unknown> | undefined
  const attempt = contextAttempt(async (context) => {
    rejected = t.rejects(context.transaction(async () => { await turn(); return 1 }), { code: 'FST_TASKS_ATTEMPT_ENDED' })
    throw new Error('mine')
  }, { transaction })
  t.match(await attempt.outcome, { kind: 'failed', failure: { message: 'mine' } })
  await rejected
  t.strictSame(log, ['rollback'])
})
