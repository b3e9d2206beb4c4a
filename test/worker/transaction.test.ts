import assert from 'node:assert/strict'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { task, type TaskContext } from 'fastify-tasks'
import type { Knex } from 'knex'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { gate, setting } from './setting.ts'

for (const database of databases) {
  t.test(database.name, async (t) => {
    let handler: (context: TaskContext, write: (trx: Knex.Transaction) => Promise<void>) => Promise<unknown> = async () => {}
    const effect = task('effect', { takesContext: true, retry: { limit: 1, delay: 0 } }, async (context) => await handler(context, async (trx) => { await trx('effects').insert({ id: context.taskResult.id }) }))
    const { drain, start, backend } = await setting(t, database, [effect])
    const inTransaction = async <T>(work: (trx: Knex.Transaction) => Promise<T>): Promise<T> => {
      const write = await backend.store.begin()
      const value = await work(write.transaction)
      await write.commit()
      return value
    }
    await inTransaction(async (trx) => { await trx.schema.createTable('effects', (table) => { table.text('id') }) })
    const effects = async (id: string): Promise<number> => (await inTransaction(async (trx) => await trx('effects').where({ id }))).length
    const run = async (body: typeof handler): Promise<{ status: string, attempts: number, codes: unknown[], effects: number, value: unknown, progress: unknown }> => {
      handler = body
      const result = await effect.enqueue()
      await drain()
      await result.refresh()
      return { status: result.status, attempts: result.attempts, codes: result.errors.map(({ code }) => code), effects: await effects(result.id), value: result.status === 'SUCCESSFUL' ? result.returnValue : null, progress: result.progress }
    }

    t.test('its value ends the task, whatever the handler returns or throws later, and a second call is refused', async (t) => {
      let refused: any
      const outcome = await run(async (context, write) => {
        await context.transaction(async (trx) => { await write(trx); return 'written' })
        refused = await context.transaction(async (trx) => { await write(trx) }).catch((error: unknown) => error)
        throw new Error('too late')
      })
      t.match(refused, { code: 'FST_TASKS_ATTEMPT_ENDED' })
      t.match(outcome, { status: 'SUCCESSFUL', attempts: 1, codes: { length: 0 }, effects: 1, value: 'written' })
    })

    t.test('whoever waits for the result hears of its commit', async (t) => {
      handler = async (context, write) => await context.transaction(async (trx) => { await write(trx) })
      const result = await effect.enqueue()
      const told = gate()
      t.after(await backend.store.watch(result.id, () => { told.open() }))
      await drain()
      await told.opened
    })

    t.test('a value that JSON cannot carry rolls back, and the task has failed without a retry', async (t) => {
      const outcome = await run(async (context, write) => await context.transaction(async (trx) => { await write(trx); return new Date() }))
      t.match(outcome, { status: 'FAILED', attempts: 1, codes: ['FST_TASKS_INVALID_RESULT'], effects: 0 })
    })

    t.test('what throws in it rolls back and is retried', async (t) => {
      const outcome = await run(async (context, write) => await context.transaction(async (trx) => { await write(trx); if (context.attempt === 1) throw new Error('once'); return 'twice' }))
      t.match(outcome, { status: 'SUCCESSFUL', attempts: 2, codes: [null], effects: 1, value: 'twice' })
    })

    t.test('an attempt that hangs in it gives it up at the end of its grace: others can write, and it is not run again while it goes on', async (t) => {
      const calls: string[] = []
      const [givenUp, rest] = [gate(), gate()]
      handler = async (context, write) => {
        const written = context.transaction(async (trx) => {
          await write(trx)
          calls.push(`begins ${context.attempt}`)
          if (context.attempt === 1) await rest.opened
          calls.push(`ends ${context.attempt}`)
        })
        written.catch(givenUp.open)
        await written
      }
      const { worker } = start()
      const hanging = await effect.using({ timeout: 500, timeoutGrace: 50 }).enqueue()
      await givenUp.opened
      const { id } = await effect.using({ runAfter: new Date(Date.now() + 3_600_000) }).enqueue() // takes SQLite's writer
      t.ok(id)
      await sleep(300) // in which it would be run again
      t.same(calls, ['begins 1'])
      rest.open()
      await hanging.wait()
      t.same([hanging.status, hanging.attempts, await effects(hanging.id)], ['SUCCESSFUL', 2, 1])
      t.same(calls, ['begins 1', 'ends 1', 'begins 2', 'ends 2'])
      await worker.stop()
    })

    t.test('a timeout in it rolls back, and so does a cancellation', async (t) => {
      const reasons: unknown[] = []
      let begun = gate()
      handler = async (context, write) => {
        await context.transaction(async (trx) => {
          await write(trx)
          await context.progress('half')
          begun.open()
          if (!context.signal.aborted) await new Promise((resolve) => { context.signal.addEventListener('abort', resolve) })
        }).catch((error: unknown) => { reasons.push((error as { code: unknown }).code) })
      }
      const late = await effect.using({ timeout: 100, retry: 0 }).enqueue()
      await drain()
      await late.refresh()
      t.same([late.status, late.errors[0]?.code, await effects(late.id)], ['FAILED', 'FST_TASKS_TIMEOUT', 0])
      t.same(reasons.splice(0), ['FST_TASKS_TIMEOUT'])
      // On SQLite whoever cancels is a writer, and waits for the one that there is.
      if (database.name === 'sqlite') return
      begun = gate()
      const { worker } = start()
      const cancelled = await effect.enqueue()
      await begun.opened
      await cancelled.cancel()
      await cancelled.wait()
      t.same([cancelled.status, await effects(cancelled.id), reasons], ['CANCELLED', 0, ['FST_TASKS_CANCELLED']])
      await worker.stop()
    })
  })

  t.test(`${database.name}: a claim that was lost before it commits rolls back with a typed error, and the next attempt's effect is the only one`, async (t) => {
    const codes: unknown[] = []
    const effect = task('effect', { takesContext: true }, async (context) => {
      if (context.attempt === 1) {
        await backend.store.renew(worker.id as string, { leaseMs: -1, running: 1 })
        await backend.store.rescue({ backend: 'default', crashBudget: 3 })
      }
      return await context.transaction(async (trx) => { await trx('effects').insert({ attempt: context.attempt }); return context.attempt }).catch((error: any) => { codes.push(error.code); throw error })
    })
    const { start, backend } = await setting(t, database, [effect])
    const write = await backend.store.begin()
    await write.transaction.schema.createTable('effects', (table) => { table.integer('attempt') })
    await write.commit()
    const { worker } = start({ sweep: '1h' })
    const result = await effect.enqueue()
    await result.wait()
    t.same([result.status, result.returnValue], ['SUCCESSFUL', 2])
    const read = await backend.store.begin()
    t.same(await read.transaction('effects').select('attempt'), [{ attempt: 2 }])
    await read.rollback()
    t.ok(codes.length === 1 && ['FST_TASKS_CLAIM_LOST', 'FST_TASKS_LEASE_LOST'].includes(codes[0] as string), String(codes))
  })

  t.test(`${database.name}: progress is seen while it runs, is written once at a time, and the last of it outlives the end`, async (t) => {
    const [reported, over] = [gate(), gate()]
    let refused: any
    let writes = 0
    const steps = task('steps', { takesContext: true }, async (context, how: 'many' | 'throws' | 'transaction') => {
      if (how === 'throws') {
        void context.progress({ done: 'before it threw' })
        throw new Error('thrown')
      }
      if (how === 'transaction') {
        return await context.transaction(async () => { await context.progress({ done: 'in the transaction' }) })
      }
      await context.progress({ done: 0 })
      reported.open()
      await over.opened
      for (let step = 1; step <= 500; step++) { void context.progress({ done: step }); if (step % 100 === 0) await turn() }
      refused = await context.progress(new Map()).catch((error: unknown) => error)
    })
    const { app, start, backend } = await setting(t, database, [steps])
    const store = backend.store.progress.bind(backend.store)
    backend.store.progress = async (...args) => { writes += 1; return await store(...args) }
    start()
    const result = await steps.enqueue('many')
    await reported.opened
    const elsewhere = await app.tasks.getResult(result.id)
    t.same([elsewhere.status, elsewhere.progress], ['RUNNING', { done: 0 }])
    over.open()
    await result.wait()
    t.same(result.progress, { done: 500 })
    t.ok(writes < 100, `${writes} writes for 501 reports`)
    t.match(refused, { code: 'FST_TASKS_INVALID_ARGUMENT' })
    for (const how of ['throws', 'transaction'] as const) {
      const other = await steps.enqueue(how)
      await other.wait()
      t.same([other.status, other.progress], how === 'throws' ? ['FAILED', { done: 'before it threw' }] : ['SUCCESSFUL', { done: 'in the transaction' }])
    }
    await eventually(async () => { assert.equal((await app.tasks.stats()).queues['default']?.running ?? 0, 0) })
  })
}
