import t, { type Test } from 'tap'
import { createRequire } from 'node:module'
import knex from 'knex'
import { connect } from '#lib/store/connections.js'
import { sqlite as dialect } from '#lib/store/dialects/sqlite.js'
import { openStore } from '#lib/store/index.js'
import { migrate, MIGRATIONS, type Migration } from '#lib/store/migrations/migrate.js'
import { defining, forgetting } from '#lib/store/procedures.js'
import { Session } from '#lib/store/session.js'
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

t.test('a transaction waits for the calls that are on their way, and they for it', options, async (t) => {
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

t.test('a migration that rebuilds a table which they write finds none of them in its way, and they are there again', options, async (t) => {
  const { url, close } = await (sqlite as NonNullable<typeof sqlite>).open()
  const tables = tableNames(undefined)
  const connections = connect({ url }, { begin: defining(tables, dialect, PROCEDURES), end: forgetting(tables, PROCEDURES) })
  t.teardown(async () => {
    await connections.close()
    await close()
  })
  const session = new Session(connections, dialect, tables)
  await migrate(session, connections, tables)
  const rebuilding: Migration = {
    name: '9999-rebuild',
    async up (knex, { claims }) {
      for (const sql of [`CREATE TABLE rebuilt AS SELECT * FROM ${claims}`, `DROP TABLE ${claims}`, `ALTER TABLE rebuilt RENAME TO ${claims}`]) await knex.raw(sql)
    },
    async down () {}
  }
  t.same(await migrate(session, connections, tables, [...MIGRATIONS, rebuilding]), ['9999-rebuild'])
  const { rows } = await session.call('finish tasks', `INSERT INTO ${session.procedure(finishing)} VALUES ('w', '{}', '[]', 0, 1) RETURNING at`, [])
  t.same(rows, [{ at: 1 }])
})

t.test('claims from any number of lanes are a few statements', options, async (t) => {
  const { bench, calls } = await setting(t)
  const names = Array.from({ length: 40 }, (_, nth) => `queue-${nth}`)
  await bench.insert(...names.map((queue) => ({ queue })))
  const worker = await bench.worker()
  calls.length = 0
  const claimed: string[] = []
  for (let size = 1; names.length > 0; size++) claimed.push(...(await worker.claim({ queues: names.splice(0, size) })).map(({ queue }) => queue))
  t.equal(new Set(claimed).size, 40)
  const texts = new Set(calls.filter((sql) => sql.includes('tasks_ call of claiming')))
  t.equal(texts.size, 4, 'of 1, 2, 4, and 8 lanes')
})

t.test('what is acknowledged after somebody met SQLITE_BUSY is there', options, async (t) => {
  const { url, close } = await (sqlite as NonNullable<typeof sqlite>).open({ keepTables: true })
  const store = openStore({ url, callTimeout: 200 })
  await store.open()
  const other = knex({ client: 'sqlite3', connection: { filename: url.replace('sqlite:', '') }, useNullAsDefault: true })
  t.teardown(async () => {
    await store.close()
    await other.destroy()
    await close()
  })
  const holding = await other.transaction()
  await holding.raw('UPDATE tasks_meta SET name = name WHERE 0')
  await t.rejects(store.insert([newRow()]), { code: 'FST_TASKS_STORE_UNAVAILABLE' })
  await holding.rollback()
  const all = rows().map(newRow)
  await store.insert(all)
  const [{ count }] = await other.raw('SELECT count(*) AS count FROM tasks_results') as [{ count: number }]
  t.equal(count, MANY)
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
