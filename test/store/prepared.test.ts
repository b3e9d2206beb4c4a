import t from 'tap'
import { keepPrepared, sendPrepared, type Sqlite3Database } from '#lib/store/prepared.js'

const LARGE = 'x'.repeat(600_000)

t.test('a statement is prepared once, whatever is bound to it', async (t) => {
  const { connection, prepared } = setting()
  for (const value of ['a', LARGE, 'b']) await send(connection, 'INSERT', value)
  t.same(prepared, ['INSERT'])
})

t.test('what stays bound to the statements of a connection is bounded: beyond that one is sent without being kept', async (t) => {
  const { connection, prepared, sent } = setting()
  await send(connection, 'first', LARGE)
  await send(connection, 'second', LARGE)
  t.same(prepared, ['first'])
  t.same(sent, ['second'])
  await send(connection, 'first', 'a') // what it kept is gone
  await send(connection, 'second', LARGE)
  t.same(prepared, ['first', 'second'])
})

t.test('a statement that cannot be compiled fails with the reason, and keeps nothing', async (t) => {
  const { connection, prepared } = setting({ fails: true })
  await t.rejects(send(connection, 'first', LARGE), { message: 'no such table' })
  await t.rejects(send(connection, 'second', LARGE), { message: 'no such table' })
  t.same(prepared, ['first', 'second'])
})

t.test('a connection is closed once its statements are finalized', async (t) => {
  const { connection, log } = setting()
  await send(connection, 'first', 'a')
  await send(connection, 'second', 'a')
  await new Promise((resolve) => { connection.close(resolve) })
  t.same(log, ['finalize first', 'finalize second', 'close'])
})

interface Setting { readonly connection: Sqlite3Database, readonly prepared: string[], readonly sent: string[], readonly log: string[] }

/** As node-sqlite3 answers: later. */
function setting ({ fails = false } = {}): Setting {
  const [prepared, sent, log]: [string[], string[], string[]] = [[], [], []]
  const connection: Sqlite3Database = {
    prepare (sql, done) {
      prepared.push(sql)
      setImmediate(() => { done(fails ? new Error('no such table') : null) })
      return {
        all: (_bindings, done) => { setImmediate(() => { if (!fails) done(null, []) }) },
        finalize (done) {
          log.push(`finalize ${sql}`)
          setImmediate(done)
        }
      }
    },
    all (sql, _bindings, done) {
      sent.push(sql)
      setImmediate(() => { done(null, []) })
    },
    close (done) {
      log.push('close')
      setImmediate(() => { done(null) })
    }
  }
  keepPrepared(connection)
  return { connection, prepared, sent, log }
}

async function send (connection: Sqlite3Database, sql: string, value: string): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    sendPrepared(connection, sql, [value], (error, rows) => { if (error === null) resolve(rows); else reject(error) })
  })
}
