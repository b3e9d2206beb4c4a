import t from 'tap'
import pg from 'pg'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { openPostgresStore } from '../support/postgres-store.ts'

const postgres = databases.find(({ name }) => name === 'postgres')
const backend = 'default'
const { query } = pg.Client.prototype

t.test('in a transaction nothing relies on what its session has prepared, which a pooler may have changed', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const store = await openPostgresStore(t)
  const tasks = [newRow().task]
  await store.register({ id: 'w', backend, leaseMs: 600_000, tasks, quarantine: false })
  const unique = (key: string) => newRow({ backend, tags: ['a'], unique: { key, scope: 'unfinished', onConflict: 'return' } })
  const named: string[] = []
  t.intercept(pg.Client.prototype, 'query', {
    value: function (this: pg.Client, ...args: Parameters<typeof query>) {
      const { name, text } = args[0] as unknown as { name?: string, text?: string }
      if (name !== undefined) named.push(text as string)
      return query.apply(this, args)
    }
  })
  await store.insert([newRow({ backend, tags: ['a'] })])
  for (let time = 0; time < 2; time++) await store.insert([unique('outside')])
  const [claimed] = await store.claim({ worker: 'w', claim: 1, backend, lanes: [{ queue: 'default', priority: 0, after: null }], limit: 1, start: 1, tasks })
  t.ok(named.length > 3, 'outside of one they are prepared')
  const { transaction, commit } = await store.begin()
  named.length = 0
  await transaction.raw('DEALLOCATE ALL')
  await store.insert([newRow({ backend, tags: ['a'] })], { transaction })
  await store.insert([newRow({ backend }), newRow({ backend })], { transaction })
  const [inside] = await store.insert([unique('inside')], { transaction })
  const [again] = await store.insert([unique('inside')], { transaction })
  t.same([again?.isDuplicate, again?.row.id], [true, inside?.row.id])
  t.equal(await store.finishIn(transaction, 'w', { id: claimed?.id as string, claim: 1, status: 'SUCCESSFUL', returnValue: '1' }, '"half"'), true)
  t.same(named, [])
  await commit()
  t.match(await store.get(claimed?.id as string), { status: 'SUCCESSFUL', returnValue: '1', progress: '"half"' })
})
