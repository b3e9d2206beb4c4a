import { chmod, mkdtemp, open as openFile, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import knexFactory, { type Knex } from 'knex'
import { openStore } from '#lib/store/index.js'
import { newRow } from '#lib/conformance/store/bench.js'

// What can happen to the file itself. Nothing is accepted that would be lost, and every refusal is typed and says why.

const run = promisify(execFile)

async function newFile (t: Test): Promise<{ folder: string, file: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-files-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  return { folder, file: join(folder, 'tasks.sqlite3') }
}

async function openOn (t: Test, file: string, knex?: Knex): Promise<ReturnType<typeof openStore>> {
  const store = openStore({ ...knex === undefined ? { url: `sqlite:${file}` } : { knex }, callTimeout: 1_000 })
  t.teardown(async () => { await store.close() })
  await store.open()
  return store
}

function refused (code: string): { code: string, message: RegExp } {
  return { code: 'FST_TASKS_STORE_UNAVAILABLE', message: new RegExp(code) }
}

t.test('a file that was deleted while it was open accepts nothing more, since it would be lost', async (t) => {
  const { file } = await newFile(t)
  const store = await openOn(t, file)
  const row = newRow()
  await store.insert([row])
  await rm(file)
  await t.rejects(store.insert([newRow()]), refused('SQLITE_READONLY_DBMOVED'))
  await t.rejects(store.get(row.id), refused('SQLITE_READONLY_DBMOVED'), 'nor does it answer what nobody else sees')
  await t.rejects(store.begin(), refused('SQLITE_READONLY_DBMOVED'))
})

t.test('neither does one that another took the place of', async (t) => {
  const { folder, file } = await newFile(t)
  const store = await openOn(t, file)
  await rename(file, join(folder, 'aside'))
  const other = knexFactory({ client: 'sqlite3', connection: { filename: file }, useNullAsDefault: true })
  await other.raw('CREATE TABLE somebody (id)')
  await other.destroy()
  await t.rejects(store.insert([newRow()]), refused('SQLITE_READONLY_DBMOVED'))
  await rename(join(folder, 'aside'), file)
  await t.rejects(store.insert([newRow()]), refused('SQLITE_READONLY_DBMOVED'), 'for good: what stands beside it may be of the other')
})

t.test('tables that were dropped are missed by their name', async (t) => {
  const { file } = await newFile(t)
  const store = await openOn(t, file)
  const other = knexFactory({ client: 'sqlite3', connection: { filename: file }, useNullAsDefault: true })
  await other.raw('DROP TABLE tasks_results')
  await other.destroy()
  await t.rejects(store.insert([newRow()]), refused('a table is missing: run `fastify-tasks migrate`'))
})

t.test('a full database refuses, keeps what it had, and goes on when there is room', async (t) => {
  const { file } = await newFile(t)
  const knex = knexFactory({ client: 'sqlite3', connection: { filename: file }, useNullAsDefault: true, pool: { min: 1, max: 1 } })
  t.teardown(async () => { await knex.destroy() })
  const store = await openOn(t, file, knex)
  const kept = newRow()
  await store.insert([kept])
  const [{ page_count: pages }] = await knex.raw('PRAGMA page_count') as [{ page_count: number }]
  await knex.raw(`PRAGMA max_page_count = ${pages + 2}`)
  const large = newRow({ args: JSON.stringify(['x'.repeat(100_000)]) })
  await t.rejects(store.insert([large]), refused('SQLITE_FULL \\(the disk is full\\)'))
  t.equal(await store.get(large.id), null)
  t.match(await store.get(kept.id), { id: kept.id })
  await knex.raw('PRAGMA max_page_count = 1000000')
  await store.insert([large])
  t.match(await store.get(large.id), { id: large.id })
  t.same(await knex.raw('PRAGMA integrity_check'), [{ integrity_check: 'ok' }])
})

t.test('a damaged file is called so, when it is opened and while it is used', async (t) => {
  const { file } = await newFile(t)
  const store = await openOn(t, file)
  const rows = Array.from({ length: 200 }, () => newRow({ args: JSON.stringify(['x'.repeat(500)]) }))
  await store.insert(rows)
  await store.close()
  const { size } = await stat(file)
  const handle = await openFile(file, 'r+')
  await handle.write(Buffer.alloc(size - 4_096, 0xee), 0, size - 4_096, 4_096) // all but the first page
  await handle.close()
  const damaged = openStore({ url: `sqlite:${file}` })
  t.teardown(async () => { await damaged.close() })
  await t.rejects((async () => { await damaged.open(); await damaged.list({ backend: 'default', limit: 100 }) })(), refused('SQLITE_CORRUPT \\(the file is damaged\\)'))

  const { file: other } = await newFile(t)
  const text = await openFile(other, 'w')
  await text.write('this is no database. '.repeat(500))
  await text.close()
  await t.rejects(openOn(t, other), refused('SQLITE_NOTADB \\(the file is not a SQLite database\\)'))
})

t.test('a file that cannot be written is read from, and refuses writes', async (t) => {
  const { folder, file } = await newFile(t)
  const first = openStore({ url: `sqlite:${file}` })
  await first.open()
  const row = newRow()
  await first.insert([row])
  const undo = await makeReadOnly(folder, file)
  if (undo === null) { t.pass('root may write everything here'); await first.close(); return }
  const store = await openOn(t, file)
  t.match(await store.get(row.id), { id: row.id })
  await t.rejects(store.insert([newRow()]), refused('SQLITE_(READONLY|CANTOPEN)'))
  await store.close()
  await undo()
  await first.close()
})

/** By its mode; root is stopped by a mount only. Null where that is not permitted. */
async function makeReadOnly (folder: string, file: string): Promise<(() => Promise<void>) | null> {
  if (process.getuid?.() !== 0) {
    await chmod(file, 0o444)
    return async () => { await chmod(file, 0o644) }
  }
  const mounted = await run('mount', ['--bind', folder, folder]).then(async () => await run('mount', ['-o', 'remount,ro,bind', folder])).then(() => true, () => false)
  return mounted ? async () => { await run('umount', ['-l', folder]) } : null
}
