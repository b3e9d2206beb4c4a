import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks from 'fastify-tasks'
import { databases, type TestDatabases } from '../support/databases.ts'
import { startProcess, type TestProcess } from '../support/processes.ts'
import { tasks } from './fixtures/app.js'

export interface Entry { readonly what: string, readonly id: string, readonly pid: number, readonly at: number }

/** One database, an app that enqueues, and worker processes that write to a ledger beside the database. */
export interface Setting {
  readonly app: FastifyInstance
  readonly url: string
  worker (args?: readonly string[], env?: NodeJS.ProcessEnv, script?: string): TestProcess
  /** What tasks wrote, oldest first; of one result where an id is given. */
  ledger (id?: string): Promise<Entry[]>
  /** The pids of the processes that ran it. */
  runs (id: string): Promise<number[]>
}

/** The database that a process test runs on: SQLite, where several processes on one file are the harder case. */
export async function setting (t: Test, kind: 'sqlite' | 'postgres' = 'sqlite', { open = true } = {}): Promise<Setting> {
  const database = await (databases.find(({ name }) => name === kind) ?? databases[0] as TestDatabases).open()
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-process-'))
  const file = join(folder, 'ledger')
  await appendFile(file, '')
  const app = Fastify()
  t.teardown(async () => {
    await app.close()
    await rm(folder, { recursive: true, force: true })
    await database.close()
  })
  if (open) {
    await app.register(fastifyTasks, { tasks: [...tasks], env: false, backends: { default: { backend: 'database', url: database.url } } })
    await app.ready()
  }
  const ledger = async (id?: string): Promise<Entry[]> => {
    const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '')
    return lines.map((line) => {
      const [what = '', of = '', pid, at] = line.split(' ')
      return { what, id: of, pid: Number(pid), at: Number(at) }
    }).filter((entry) => id === undefined || entry.id === id)
  }
  return {
    app,
    url: database.url,
    ledger,
    runs: async (id) => (await ledger(id)).filter(({ what }) => what === 'run').map(({ pid }) => pid),
    worker: (args = [], env = {}, script = 'worker.js') => startProcess({ after: (fn) => { t.teardown(fn) } }, fileURLToPath(new URL(`fixtures/${script}`, import.meta.url)), {
      args: ['--lease', '5s', '--sweep', '200ms', ...args],
      env: { TASKS_DATABASE_URL: database.url, LEDGER: file, ...env }
    })
  }
}
