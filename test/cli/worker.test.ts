import t from 'tap'
import { fileURLToPath } from 'node:url'
import { v7 as uuid } from 'uuid'
import { openStore } from '#lib/store/index.js'
import { databases } from '../support/databases.ts'
import { startProcess } from '../support/processes.ts'

const bin = fileURLToPath(new URL('../../dist/lib/cli/bin.js', import.meta.url))
const fixtures = fileURLToPath(new URL('fixtures/', import.meta.url))

// How a file is loaded does not depend on the database.
const files = ['build-app.js', 'plugin.js', 'build-app.cjs', 'plugin.cjs', 'callback.cjs']

for (const [index, { name, open }] of databases.entries()) {
  t.test(`the command worker on ${name}`, async (t) => {
    const { url, close } = await open()
    t.teardown(close)
    const store = openStore({ url, listen: false })
    await store.open()
    t.teardown(async () => { await store.close() })
    const run = (...args: string[]): ReturnType<typeof startProcess> =>
      startProcess(t, bin, { args: ['worker', ...args], cwd: fixtures, env: { TASKS_DATABASE_URL: url } })

    for (const file of index === 0 ? files : files.slice(0, 1)) {
      t.test(`runs the tasks of ${file}`, async (t) => {
        const id = uuid()
        await store.insert([{ id, backend: 'default', task: 'cli.add', queue: 'default', priority: 0, runAfter: null, delay: null, args: '[31,11]', options: null, tags: [], unique: null, maxReady: null }])
        const worker = run(`./${file}`, '--batch', '--concurrency=2')
        t.strictSame(await worker.exit(), { code: 0, signal: null }, worker.lines.join('\n'))
        const row = await store.get(id)
        t.match(row, { status: 'SUCCESSFUL', returnValue: '42' })
      })
    }
  })
}

t.test('a file that gives no app ends the worker with 1 and a reason', async (t) => {
  const run = async (file: string): Promise<{ code: number | null, text: string }> => {
    const worker = startProcess(t, bin, { args: ['worker', file], cwd: fixtures, env: { TASKS_BACKEND: 'immediate' } })
    const { code } = await worker.exit()
    return { code, text: worker.lines.join('\n') }
  }
  const [neither, notAnApp, throws] = await Promise.all(['neither.js', 'not-an-app.js', 'throws.js'].map(run))
  t.match(neither, { code: 1, text: /neither\.js exports neither buildApp/ })
  t.match(notAnApp, { code: 1, text: /not-an-app\.js gave no Fastify instance/ })
  t.match(throws, { code: 1, text: /the config is missing/ })
  t.notMatch(neither?.text, / {4}at /, 'no stack for what is wrong with the file')
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
