import type { FastifyInstance } from 'fastify'
import { ImmediateBackend } from '../backends/immediate.js'
import type { WorkerOptions } from '../worker/options.js'
import { createWorker } from '../worker/index.js'

/**
 * Run everything that is ready, in this process, and resolve when nothing is: what a test does between an enqueue and
 * its assertions. What requests have collected is stored first. Tasks that are enqueued meanwhile run too; deferred ones
 * and retries that are not due do not. The Immediate backend has run all of it already.
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
  if (app.tasks.backend(options.backend) instanceof ImmediateBackend) return
  await createWorker(app, { listen: false, ...options, batch: true }).run()
}
