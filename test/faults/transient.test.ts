import t from 'tap'
import knexFactory from 'knex'
import { openStore } from '#lib/store/index.js'
import { describeFault, faultOf, type Fault } from '#lib/store/faults.js'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

const CODES: Readonly<Record<Fault, readonly string[]>> = {
  transient: [
    'NO_ANSWER',
    '08000', '08001', '08003', '08004', '08006', '08007', '08P01', '25006', '25P03', '25P04', '26000', '40001', '40003', '40P01', '42P05',
    '53000', '53200', '53300', '53400', '55P03', '57000', '57014', '57P01', '57P02', '57P03', '57P05',
    'SQLITE_BUSY', 'SQLITE_BUSY_SNAPSHOT', 'SQLITE_BUSY_RECOVERY', 'SQLITE_LOCKED', 'SQLITE_LOCKED_SHAREDCACHE', 'SQLITE_PROTOCOL',
    'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN', 'EMFILE', 'ENOENT'
  ],
  unavailable: [
    '28000', '28P01', '3D000', '3F000', '42501', '42703', '42P01', '53100', '57P04', '58000', '58030', '58P01', 'XX001', 'XX002',
    'SQLITE_FULL', 'SQLITE_IOERR', 'SQLITE_IOERR_FSYNC', 'SQLITE_READONLY', 'SQLITE_READONLY_DBMOVED', 'SQLITE_CANTOPEN', 'SQLITE_NOMEM', 'SQLITE_CORRUPT', 'SQLITE_CORRUPT_INDEX', 'SQLITE_NOTADB',
    'ENOTFOUND', 'EACCES'
  ],
  permanent: [
    '22021', '22P02', '23502', '23505', '42601', '42804', '0A000', 'XX000', 'P0001',
    'SQLITE_CONSTRAINT', 'SQLITE_CONSTRAINT_UNIQUE', 'SQLITE_ERROR', 'SQLITE_TOOBIG', 'SQLITE_MISMATCH', 'ERR_INVALID_ARG_TYPE', 'constructor', '__proto__'
  ]
}

t.test('what passes is told from what does not, by its code', async (t) => {
  for (const [fault, codes] of Object.entries(CODES)) for (const code of codes) t.equal(faultOf({ code }), fault, code)
})

t.test('a driver that says it in words only is understood, and anything else is permanent', async (t) => {
  for (const words of ['Connection terminated unexpectedly', 'timeout expired', 'Knex: Timeout acquiring a connection. The pool is probably full.', 'Client was closed and is not queryable', 'Connection ended unexpectedly']) {
    t.equal(faultOf(new Error(words)), 'transient', words)
  }
  for (const error of [new Error('something else'), null, undefined, 'a string', { code: 7 }, { message: { toString: () => 'timeout expired' } }]) t.equal(faultOf(error), 'permanent')
})

t.test('a fault is described by its code and never by its words', async (t) => {
  const secret = 'marker-of-a-secret'
  const error = Object.assign(new Error(`insert into x values ('${secret}')`), { code: '23505', detail: secret, where: secret, query: secret, parameters: [secret], hint: secret, internalQuery: secret })
  t.notMatch(describeFault(error), secret)
  t.equal(describeFault(new Error(secret)), 'an error without a code')
  t.match(describeFault({ code: 'ECONNREFUSED', address: '127.0.0.1', port: 5432 }), /ECONNREFUSED \(nothing listens there\) at 127\.0\.0\.1:5432/)
})

for (const { name, open } of databases) {
  t.test(`${name}: what a retry would only repeat is not tried again`, async (t) => {
    const database = await open()
    const store = openStore({ url: database.url })
    t.teardown(async () => {
      await store.close()
      await database.close()
    })
    await store.open()
    const started = performance.now()
    await t.rejects(store.insert([newRow({ task: null as unknown as string })]), { code: 'FST_TASKS_STORE_UNAVAILABLE', fault: 'permanent' })
    t.ok(performance.now() - started < 10_000, 'at once')
  })

  t.test(`${name}: what passes is tried until it has, or the time of the call is over`, async (t) => {
    const database = await open()
    const store = openStore({ url: database.url, callTimeout: 3_000 })
    const sqlite = name === 'sqlite'
    const other = sqlite
      ? knexFactory({ client: 'sqlite3', connection: { filename: database.url.slice('sqlite:'.length) }, useNullAsDefault: true })
      : knexFactory({ client: 'pg', connection: database.url })
    t.teardown(async () => {
      await other.destroy()
      await store.close()
      await database.close()
    })
    await store.open()
    const setting = `ALTER DATABASE "${new URL(database.url).pathname.slice(1)}"`
    const [begin, end] = sqlite ? ['BEGIN IMMEDIATE', 'ROLLBACK'] : [`${setting} SET default_transaction_read_only = on`, `${setting} RESET default_transaction_read_only`]
    const connection = await other.client.acquireConnection()
    const ask = async (sql: string): Promise<void> => { await other.raw(sql).connection(connection) }
    if (!sqlite) await ask('SET default_transaction_read_only = off')
    await ask(begin)
    if (!sqlite) await ask('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()')
    const started = performance.now()
    await t.rejects(store.insert([newRow()]), { code: 'FST_TASKS_STORE_UNAVAILABLE', fault: 'transient' })
    const took = performance.now() - started
    t.ok(took > 900 && took < 12_000, `given up after ${Math.round(took)} ms`)
    const [row] = [newRow()]
    const stored = store.insert([row])
    await ask(end)
    if (!sqlite) await ask('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()')
    t.equal((await stored).length, 1, 'it passed in time')
    await other.client.releaseConnection(connection)
  })
}
