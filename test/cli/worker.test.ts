import t, { type Test } from 'tap'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { v7 as uuid } from 'uuid'
import { loadApp } from '#lib/cli/load-app.js'
import { openStore, type KnexStore } from '#lib/store/index.js'
import { databases, type TestDatabases } from '../support/databases.ts'
import { startProcess, type TestProcess } from '../support/processes.ts'

const bin = fileURLToPath(new URL('../../dist/lib/cli/bin.js', import.meta.url))
const fixtures = fileURLToPath(new URL('fixtures/', import.meta.url))

/** A store, tasks in it and processes of the fixtures' folder. */
async function setting (t: Test, { open }: TestDatabases): Promise<{ store: KnexStore, insert: () => Promise<string>, start: (script: string, args: string[]) => TestProcess }> {
  const { url, close } = await open({ keepTables: true })
  t.teardown(close)
  const store = openStore({ url, listen: false })
  await store.open()
  t.teardown(async () => { await store.close() })
  return {
    store,
    insert: async () => {
      const id = uuid()
      await store.insert([{ id, backend: 'default', task: 'cli.add', queue: 'default', priority: 0, runAfter: null, delay: null, args: '[31,11]', options: null, tags: [], unique: null, maxReady: null }])
      return id
    },
    start: (script, args) => startProcess(t, script, { args, cwd: fixtures, env: { TASKS_DATABASE_URL: url } })
  }
}

// How a file is loaded does not depend on the database, nor on the processes that the command starts.
const FILES = ['build-app.js', 'plugin.js', 'build-app.cjs', 'plugin.cjs', 'callback.cjs']

for (const [index, database] of databases.entries()) {
  const file = ['build-app.js', 'plugin.cjs'][index] as string
  t.test(`the command worker on ${database.name} runs the tasks of ${file}`, async (t) => {
    const { store, insert, start } = await setting(t, database)
    const id = await insert()
    const worker = start(bin, ['worker', `./${file}`, '--batch', '--concurrency=2'])
    t.strictSame(await worker.exit(), { code: 0, signal: null }, worker.lines.join('\n'))
    t.match(await store.get(id), { status: 'SUCCESSFUL', returnValue: '42' })
  })
}

t.test('a file may export buildApp or a plugin, with a promise or a callback, as an ES module or in CommonJS', async (t) => {
  const { store, insert, start } = await setting(t, databases[0]!)
  const ids = []
  for (let count = 0; count < FILES.length; count++) ids.push(await insert())
  const worker = start(join(fixtures, 'load-each.js'), FILES)
  t.strictSame(await worker.exit(), { code: 0, signal: null }, worker.lines.join('\n'))
  for (const id of ids) t.match(await store.get(id), { status: 'SUCCESSFUL', returnValue: '42' })
})

t.test('a file that gives no app ends the worker with 1 and a reason', async (t) => {
  const worker = startProcess(t, bin, { args: ['worker', 'neither.js'], cwd: fixtures, env: { TASKS_BACKEND: 'immediate' } })
  t.match(await worker.exit(), { code: 1 })
  const text = worker.lines.join('\n')
  t.match(text, /neither\.js exports neither buildApp/)
  t.notMatch(text, / {4}at /, 'no stack for what is wrong with the file')
  await t.rejects(loadApp(join(fixtures, 'not-an-app.js')), /not-an-app\.js gave no Fastify instance/)
  await t.rejects(loadApp(join(fixtures, 'throws.js')), /the config is missing/)
})

t.test('a worker on a backend that is no database ends with a reason', async (t) => {
  const worker = startProcess(t, bin, { args: ['worker', 'build-app.js'], cwd: fixtures, env: { TASKS_BACKEND: 'immediate' } })
  const { code } = await worker.exit()
  t.equal(code, 1)
  t.match(worker.lines.join('\n'), /FST_TASKS_INVALID_OPTION/)
})

t.test('SIGTERM ends an idle worker with 0', async (t) => {
  const database = await databases[0]!.open()
  t.teardown(database.close)
  const worker = startProcess(t, bin, { args: ['worker', './build-app.js'], cwd: fixtures, env: { TASKS_DATABASE_URL: database.url } })
  await worker.line('worker ready')
  worker.signal('SIGTERM')
  t.strictSame(await worker.exit(), { code: 0, signal: null })
})
