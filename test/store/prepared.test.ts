import t from 'tap'
import { createRequire } from 'node:module'
import { keepPrepared, sendPrepared, type Sqlite3Database } from '#lib/store/prepared.js'

const LARGE = 'x'.repeat(600_000)

t.test('a statement is prepared once, whatever is bound to it', async (t) => {
  const { connection, prepared } = setting()
  for (const value of ['a', LARGE, 'b']) await send(connection, 'INSERT', value)
  t.same(prepared, ['INSERT'])
})

t.test('what stays bound to the statements of a connection is bounded: beyond that the largest is let go, once it has run', async (t) => {
  const { connection, prepared, log } = setting()
  await send(connection, 'small', 'a')
  await send(connection, 'first', LARGE)
  t.same(log, [])
  await send(connection, 'second', `${LARGE}x`)
  t.same(log, ['release second'])
  await send(connection, 'second', 'b')
  t.same(log, ['release second'], 'what it held is gone')
  await send(connection, 'second', `${LARGE}x`)
  t.same(log, ['release second', 'release second'])
  t.same(prepared, ['small', 'first', 'second'])
})

t.test('a statement that cannot be compiled fails with the reason, keeps nothing, and is compiled again', async (t) => {
  const { connection, prepared, log } = setting({ fails: true })
  await t.rejects(send(connection, 'first', LARGE), { message: 'no such table' })
  await t.rejects(send(connection, 'first', LARGE), { message: 'no such table' })
  t.same(prepared, ['first', 'first'])
  t.same(log, [])
})

t.test('all that wait for a statement which cannot be compiled are told', async (t) => {
  const { Database } = createRequire(import.meta.url)('sqlite3') as { Database: new (file: string) => Sqlite3Database }
  const connection = new Database(':memory:')
  keepPrepared(connection, 5_000)
  const [first, second] = [send(connection, 'INSERT INTO missing VALUES (?)', 'a'), send(connection, 'INSERT INTO missing VALUES (?)', 'b')]
  await t.rejects(first, { message: /no such table/ })
  await t.rejects(second, { message: /no such table/ })
  await send(connection, 'CREATE TABLE missing (word TEXT)')
  await send(connection, 'INSERT INTO missing VALUES (?)', 'c')
  t.same(await send(connection, 'SELECT * FROM missing'), [{ word: 'c' }])
  await new Promise((resolve) => { connection.close(resolve) })
})

t.test('a connection is closed once its statements are finalized', async (t) => {
  const { connection, log } = setting()
  await send(connection, 'first', 'a')
  await send(connection, 'second', 'a')
  await new Promise((resolve) => { connection.close(resolve) })
  t.same(log, ['finalize first', 'finalize second', 'close'])
})

interface Setting { readonly connection: Sqlite3Database, readonly prepared: string[], readonly log: string[] }

/** As node-sqlite3 answers: later. */
function setting ({ fails = false } = {}): Setting {
  const [prepared, log]: [string[], string[]] = [[], []]
  const connection: Sqlite3Database = {
    prepare (sql, done) {
      prepared.push(sql)
      setImmediate(() => { done(fails ? new Error('no such table') : null) })
      return {
        all: (_bindings, done) => { setImmediate(() => { if (!fails) done(null, []) }) },
        bind (_bindings, done) {
          log.push(`release ${sql}`)
          setImmediate(done)
        },
        reset (done) { setImmediate(done) },
        finalize (done) {
          log.push(`finalize ${sql}`)
          setImmediate(done)
        }
      }
    },
    all (sql, _bindings, done) {
      log.push(sql)
      setImmediate(() => { done(null, []) })
    },
    close (done) {
      log.push('close')
      setImmediate(() => { done(null) })
    }
  }
  keepPrepared(connection, 5_000)
  return { connection, prepared, log }
}

async function send (connection: Sqlite3Database, sql: string, ...bindings: string[]): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    sendPrepared(connection, sql, bindings, (error, rows) => { if (error === null) resolve(rows); else reject(error) })
  })
}
