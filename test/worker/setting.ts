import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import fastifyTasks, { type AnyTask, type DatabaseBackend } from 'fastify-tasks'
import { createWorker, type TaskWorker, type WorkerOptions } from 'fastify-tasks/worker'
import type { TestDatabases } from '../support/databases.ts'

export interface Setting {
  readonly app: FastifyInstance
  readonly url: string
  readonly backend: DatabaseBackend
  /** A worker that runs until the end of the test, or until it ends by itself. */
  start (options?: WorkerOptions): { worker: TaskWorker, ended: Promise<void> }
  /** Run what is ready. */
  drain (options?: WorkerOptions): Promise<void>
  readonly lines: Array<Record<string, any>>
}

interface Loudness { readonly level?: string, readonly taskLogLevel?: string }

/** An app on a database of its own, whose log lines are kept. */
export async function setting (t: Test, database: TestDatabases, tasks: readonly AnyTask[], options: Record<string, unknown> = {}, { level = 'debug', ...plugin }: Loudness = {}): Promise<Setting> {
  const { url, close } = await database.open()
  const lines: Array<Record<string, any>> = []
  const app = Fastify({ logger: { level, stream: { write: (line) => { lines.push(JSON.parse(line)) } } } })
  t.teardown(async () => {
    await app.close()
    await close()
  })
  await app.register(fastifyTasks, { tasks: [...tasks], env: false, backends: { default: { backend: 'database', url, options } }, ...plugin })
  await app.ready()
  return {
    app,
    url,
    lines,
    backend: app.tasks.backend() as unknown as DatabaseBackend,
    start: (settings) => {
      const worker = createWorker(app, settings)
      const ended = worker.run()
      ended.catch(() => {}) // for the test to look at
      return { worker, ended }
    },
    drain: async (settings) => { await createWorker(app, { ...settings, batch: true }).run() }
  }
}

/** A promise and what settles it. */
export function gate (): { opened: Promise<void>, open: () => void } {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => { open = resolve })
  return { opened, open }
}
