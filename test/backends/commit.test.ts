import t from 'tap'
import createKnex, { type Knex } from 'knex'
import { committed } from '#lib/backends/commit.js'
import { ImmediateBackend } from '#lib/backends/immediate.js'
import { task } from '#lib/core/task.js'
import { databases } from '../support/databases.ts'
import { createHost, enqueue } from './host.ts'

function connect (url: string): Knex {
  const postgres = url.startsWith('postgres')
  return postgres ? createKnex({ client: 'pg', connection: url }) : createKnex({ client: 'sqlite3', connection: { filename: url.slice('sqlite:'.length) }, useNullAsDefault: true })
}

for (const { name, open } of databases) {
  t.test(name, async (t) => {
    const database = await open()
    const knex = connect(database.url)
    t.teardown(async () => { await knex.destroy(); await database.close() })
    await knex.schema.createTable('parents', (table) => { table.integer('id').primary() })
    if (name === 'sqlite') await knex.raw('PRAGMA foreign_keys = ON')
    await knex.raw('CREATE TABLE children (parent integer REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)')

    t.test('a commit is a commit, and a rollback is none, however they are said', async (t) => {
      const trx = await knex.transaction()
      const promise = committed(trx)
      await trx.commit()
      t.equal(await promise, true)
      t.equal(await committed(trx), true, 'asked again')

      const other = await knex.transaction()
      const answer = committed(other)
      await other.rollback()
      t.equal(await answer, false)

      let inside: Promise<boolean> | undefined
      await knex.transaction(async (trx) => { inside = committed(trx) })
      t.equal(await inside, true)
      await t.rejects(knex.transaction(async (trx) => { inside = committed(trx); throw new Error('no') }))
      t.equal(await inside, false)
      const failing = await knex.transaction()
      const failed = committed(failing)
      await failing.rollback(new Error('no')).catch(() => {})
      await failing.executionPromise.catch(() => {})
      t.equal(await failed, false)
    })

    t.test('a commit that fails is none', async (t) => {
      const trx = await knex.transaction()
      const promise = committed(trx)
      await trx('children').insert({ parent: 99 })
      await trx.commit().then(() => {}, () => {})
      t.equal(await promise, false)
      // Knex gives the connection back with the transaction open on SQLite.
      if (name === 'sqlite') await knex.raw('ROLLBACK').catch(() => {})
    })

    if (name === 'postgres') {
      t.test('a commit that PostgreSQL answers with a rollback is none', async (t) => {
        const trx = await knex.transaction()
        const promise = committed(trx)
        await trx.raw('SELECT 1 / 0').catch(() => {})
        await trx.commit()
        t.equal(await promise, false)
      })
    }

    t.test('a nested transaction is committed with those around it', async (t) => {
      const nest = async (inner: 'commit' | 'rollback', outer: 'commit' | 'rollback'): Promise<boolean> => {
        const around = await knex.transaction()
        const nested = await around.transaction()
        const promise = committed(nested)
        await nested[inner]()
        await around[outer]()
        return await promise
      }
      t.equal(await nest('commit', 'commit'), true)
      t.equal(await nest('commit', 'rollback'), false)
      t.equal(await nest('rollback', 'commit'), false)
    })

    t.test('an immediate task waits for the commit', async (t) => {
      const ran: number[] = []
      const note = task('note', async (id: number) => { ran.push(id); return id })
      const { app, told } = createHost(note)
      const backend = new ImmediateBackend({ alias: 'default', app })
      const trx = await knex.transaction()
      const inside = note.using({ transaction: trx })
      const first = await enqueue(backend, inside, 1)
      const second = await enqueue(backend, inside, 2)
      t.match(first, { status: 'READY', enqueuedAt: null })
      t.strictSame([ran, told], [[], []])
      await trx.commit()
      t.equal((await second.wait()).returnValue, 2)
      await first.refresh()
      t.match(first, { status: 'SUCCESSFUL', returnValue: 1 })
      t.strictSame(ran, [1, 2])
      t.strictSame(told.slice(0, 2), ['onEnqueued READY', 'onStarted RUNNING'])
      await t.rejects(enqueue(backend, inside, 3), { code: 'FST_TASKS_TRANSACTION_MISMATCH' })
    })

    t.test('rolled back, it was never enqueued; cancelled before the commit, it never runs', async (t) => {
      const ran: number[] = []
      const note = task('note', async (id: number) => { ran.push(id) })
      const { app, told } = createHost(note)
      const backend = new ImmediateBackend({ alias: 'default', app })
      const lost = await knex.transaction()
      const result = await enqueue(backend, note.using({ transaction: lost }), 1)
      await lost.rollback()
      await committed(lost)
      await t.rejects(result.refresh(), { code: 'FST_TASKS_RESULT_NOT_FOUND' })

      const kept = await knex.transaction()
      const cancelled = await enqueue(backend, note.using({ transaction: kept }), 2)
      t.equal(await cancelled.cancel(), true)
      await kept.commit()
      await committed(kept)
      t.equal((await cancelled.wait()).status, 'CANCELLED')
      t.strictSame(ran, [])
      t.strictSame(told, ['onFinished CANCELLED'])
      await backend.close()
    })
  })
}
