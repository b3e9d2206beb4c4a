import type { FastifyInstance } from 'fastify'
import { DatabaseBackend } from '../backends/database.js'
import { ImmediateBackend } from '../backends/immediate.js'
import type { WorkerOptions } from '../worker/options.js'
import { createWorker } from '../worker/index.js'
import { Pruner } from '../worker/pruner.js'

/**
 * Run everything that is ready, in this process, and resolve when nothing is: what a test does between an enqueue and
 * its assertions. What requests have collected is stored first. Tasks that are enqueued meanwhile run too; deferred ones
 * and retries that are not due do not: move the clock for those (`createClock`). Results that are older than the backend
 * keeps them are deleted, as a worker does. The Immediate backend has run all of it already.
 *
 * @param options - as of `createWorker`; `backend` is the alias (default: `default`)
 * @throws FST_TASKS_INVALID_OPTION where the alias is a backend that no worker runs, such as Dummy
 * @example
 * ```ts
 * import type { FastifyInstance } from 'fastify'
 * import { drain } from 'fastify-tasks/testing'
 *
 * export async function signUp (app: FastifyInstance): Promise<void> {
 *   await app.inject({ method: 'POST', url: '/signup', payload: { email: 'ann@example.com' } })
 *   await drain(app)
 * }
 * ```
 */
export async function drain (app: FastifyInstance, options: Omit<WorkerOptions, 'batch'> = {}): Promise<void> {
  await app.tasks.flushed()
  const backend = app.tasks.backend(options.backend)
  if (backend instanceof ImmediateBackend) return
  await createWorker(app, { listen: false, ...options, batch: true }).run()
  if (!(backend instanceof DatabaseBackend)) return
  await new Pruner(backend.store, backend.alias, backend.defaults.retention, app.log).runOnce(new AbortController().signal)
}
