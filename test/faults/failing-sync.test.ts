import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openStore } from '#lib/store/index.js'
import { startProcess } from '../support/processes.ts'
import { preloadable } from './preloadable.ts'

t.test('where the disk fails to sync, enqueues are refused with a typed error, and what was accepted is there', { timeout: 60_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-sync-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  const library = await preloadable('failing-sync.c', folder)
  if (library === null) {
    t.comment('not run: this host has no C compiler to make a failing disk with')
    return
  }
  const [file, control] = [join(folder, 'tasks.sqlite3'), join(folder, 'control')]
  await writeFile(control, '0')
  const script = fileURLToPath(new URL('processes/failing-sync.js', import.meta.url))
  const child = startProcess(t, script, { args: [file, control], env: { LD_PRELOAD: library, FAILING_SYNC: control } })
  t.same(await child.exit(), { code: 0, signal: null }, child.lines.join('\n'))
  const { accepted, errors, stored } = JSON.parse(child.stdout.at(-1) as string) as { accepted: string[], errors: Array<{ code: string, message: string }>, stored: Array<{ id: string, text: string }> }
  t.equal(errors.length, 3, 'it failed')
  for (const { code, message } of errors) {
    t.equal(code, 'FST_TASKS_STORE_UNAVAILABLE')
    t.match(message, /SQLITE_IOERR/)
  }
  t.same(stored.map(({ id }) => id).sort(), [...accepted].sort(), 'what was accepted, and nothing else')
  // And for whoever opens the file anew.
  const store = openStore({ url: `sqlite:${file}` })
  t.teardown(async () => { await store.close() })
  await store.open()
  t.same((await store.list({ backend: 'default', limit: 100 })).rows.map(({ id }) => id).sort(), [...accepted].sort())
})
