import t, { type Test } from 'tap'
import { createRequire } from 'node:module'
import knex from 'knex'
import { sqlite as dialect } from '#lib/store/dialects/sqlite.js'
import { openStore } from '#lib/store/index.js'
import { up } from '#lib/store/migrations/0001-tables.js'
import { calling, defining, forgetting } from '#lib/store/procedures.js'
import { tableNames } from '#lib/store/tables.js'
import { finishing } from '#lib/store/verbs/finish-plain.js'
import { PROCEDURES } from '#lib/store/verbs/procedures.js'
import { Bench, ending, ids, newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

const require = createRequire(import.meta.url)
const sqlite = databases.find(({ name }) => name === 'sqlite')
const options = { skip: sqlite === undefined && 'without SQLite' }
const MANY = 50 // more than are given back one by one

t.test('a claim, plain endings and an insert of rows alike are one call of the driver each', options, async (t) => {
  const { bench, calls } = await setting(t)
  const worker = await bench.worker()
  calls.length = 0
  await bench.insert(...rows())
  t.equal(calls.length, 1, calls.join('\n'))
  const lanes = [{ queue: 'default', priority: 0, after: null }]
  calls.length = 0
  const claimed = await bench.store.claim({ worker: worker.id, claim: 1, backend: 'default', lanes, limit: MANY, start: 0, tasks: worker.tasks, unlessLimited: true })
  t.equal(calls.length, 1, calls.join('\n'))
  t.equal(claimed.length, MANY)
  calls.length = 0
  const finished = await bench.store.finish(worker.id, claimed.map((row) => ending(row, 'SUCCESSFUL')), [1])
  t.equal(calls.length, 1, calls.join('\n'))
  t.equal(finished.length, MANY)
})

t.test('where one of many endings does not hold its token any more the others are written, and that one is not', options, async (t) => {
  const { bench } = await setting(t)
  await bench.insert(...rows())
  const worker = await bench.worker()
  const claimed = await worker.claim()
  const [first, ...others] = claimed
  const lost = { ...(first as typeof claimed[number]), claim: 7 }
  const finished = await worker.finish(...[lost, ...others].map((row) => ending(row, 'SUCCESSFUL')))
  t.same(new Set(ids(finished)), new Set(ids(others)))
  t.equal((await bench.get(lost.id)).status, 'RUNNING')
})

t.test('rows of which some are stored already are stored once', options, async (t) => {
  const { bench } = await setting(t)
  const all = rows().map(newRow)
  await bench.store.insert(all.slice(0, 3))
  const inserted = await bench.store.insert(all)
  t.same(inserted.map(({ row }) => row.id), ids(all))
  t.equal((await bench.store.list({ backend: 'default', limit: 1_000 })).rows.length, MANY)
})

t.test('a value comes back as it was returned, whatever is in it', options, async (t) => {
  const { bench } = await setting(t)
  const values = ['', 'null', '"a b  c"', '7', '" 7 "', '""', '{"a":[1,null]}', '"\u2028 \ud83d\ude00 \\u0000"', JSON.stringify('x'.repeat(100_000))]
  await bench.insert(...values.map(() => ({})), ...rows())
  const worker = await bench.worker()
  const claimed = await worker.claim()
  await worker.finish(...claimed.map((row, nth) => ending(row, 'SUCCESSFUL', { value: values[nth] ?? 'null' })))
  for (const [nth, value] of values.entries()) t.equal((await bench.get(claimed[nth]?.id as string)).returnValue, value)
})

t.test('a transaction waits for the single statements that are on their way, and they for it', options, async (t) => {
  const { bench } = await setting(t)
  const worker = await bench.worker()
  await bench.insert(...rows())
  const { store } = bench
  const open = await store.begin()
  const [claiming, inserting] = [worker.claim({ limit: 10 }), bench.insert({}, {})]
  await store.insert([newRow({ task: 'other.task' })], { transaction: open.transaction })
  await open.rollback()
  const [claimed] = await Promise.all([claiming, inserting])
  t.equal(claimed.length, 10, 'what was rolled back took nothing of them along')
  t.equal((await store.list({ backend: 'default', limit: 1_000 })).rows.length, MANY + 2)
})

t.test("a table of the app's own is hidden by none of them in a transaction on the store's connection", options, async (t) => {
  const { bench } = await setting(t)
  const { transaction, rollback } = await bench.store.begin()
  for (const name of ['tasks_claiming', 'tasks_finishing', 'tasks_storing']) {
    await transaction.raw(`CREATE TABLE "${name}" (word TEXT)`)
    await transaction.raw(`INSERT INTO "${name}" VALUES ('mine')`)
    t.same(await transaction.raw(`SELECT * FROM "${name}"`), [{ word: 'mine' }])
  }
  await rollback()
})

t.test('a connection that has forgotten them can rebuild a table that they write, and then has them again', options, async (t) => {
  const tables = tableNames(undefined)
  const connection = knex({ client: 'sqlite3', connection: { filename: ':memory:' }, useNullAsDefault: true, pool: { min: 1, max: 1 } })
  t.teardown(async () => { await connection.destroy() })
  await up(connection, tables, dialect)
  const all = async (statements: readonly string[]): Promise<void> => { for (const statement of statements) await connection.raw(statement) }
  const rebuild = [`CREATE TABLE rebuilt AS SELECT * FROM ${tables.claims}`, `DROP TABLE ${tables.claims}`, `ALTER TABLE rebuilt RENAME TO ${tables.claims}`]
  await all(defining(tables, dialect, PROCEDURES))
  await t.rejects(all(rebuild), /error in trigger/)
  await all(forgetting(tables, PROCEDURES))
  await all([rebuild[2] as string, ...defining(tables, dialect, PROCEDURES)])
  t.equal((await connection.raw(`INSERT INTO ${calling(tables, finishing)} VALUES ('w', '{}', '[]', 0, 1) RETURNING at`)).length, 1)
})

function rows (): Array<Record<string, never>> {
  return Array.from({ length: MANY }, () => ({}))
}

/** A store on an empty file, and what it sends. */
async function setting (t: Test): Promise<{ bench: Bench, calls: string[] }> {
  const { url, close } = await (sqlite as NonNullable<typeof sqlite>).open({ keepTables: true })
  const calls: string[] = []
  const { Statement: { prototype } } = require('sqlite3') as { Statement: { prototype: { all: (...args: unknown[]) => unknown } } }
  const { all } = prototype
  prototype.all = function (this: { sql: string }, ...args) {
    calls.push(this.sql)
    return all.apply(this, args)
  }
  t.teardown(() => { prototype.all = all })
  const store = openStore({ url })
  await store.open()
  t.teardown(async () => {
    await store.close()
    await close()
  })
  return { bench: new Bench({ store, connect: async () => store, close: async () => {} }), calls }
}
