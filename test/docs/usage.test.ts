import t, { type Test } from 'tap'
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { startProcess } from '../support/processes.ts'
import { blocksOf, root } from './blocks.ts'

/** The README's files, as a user has them: in a folder of their own, with the package installed. */
async function install (t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-usage-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  await mkdir(join(folder, 'node_modules'))
  await symlink(root, join(folder, 'node_modules', 'fastify-tasks'))
  await symlink(join(root, 'node_modules', 'fastify'), join(folder, 'node_modules', 'fastify'))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  for (const { language, code } of await blocksOf('README.md')) {
    const name = /^\/\/ (\w+\.js)$/m.exec(code)?.[1]
    // The port of the page may be taken.
    if (language === 'js' && name !== undefined) await writeFile(join(folder, name), code.replace('port: 3000', 'port: 0'))
  }
  return folder
}

for (const { name, open } of databases) {
  t.test(`the README's usage example runs on ${name}`, async (t) => {
    const database = await open()
    t.teardown(database.close)
    const cwd = await install(t)
    const env = { TASKS_DATABASE_URL: database.url }
    const server = startProcess(t, join(cwd, 'server.js'), { cwd, env })
    const worker = startProcess(t, join(cwd, 'worker.js'), { cwd, env })
    const address = /http:\/\/127\.0\.0\.1:\d+/.exec(await server.line('Server listening at http://127.0.0.1'))?.[0]
    const response = await fetch(`${address}/sums`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":31,"b":11}' })
    t.equal(response.status, 202)
    const { id } = await response.json() as { id: string }
    await eventually(async () => {
      const found = await (await fetch(`${address}/sums/${id}`)).json()
      assert.deepEqual(found, { status: 'SUCCESSFUL', sum: 42 })
    })
    worker.signal('SIGTERM')
    t.strictSame(await worker.exit(), { code: 0, signal: null })
  })
}
