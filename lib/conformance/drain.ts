import type { FastifyInstance } from 'fastify'
import type { WorkerOptions } from '../worker/options.js'
import { createWorker } from '../worker/index.js'

/**
 * Run everything that is ready, in this process, and resolve when nothing is: what a test does between an enqueue and
 * its assertions. Tasks that are enqueued meanwhile run too; deferred ones and retries that are not due do not.
 *
 * @param options - as of `createWorker`; `backend` is the alias (default: `default`)
 * @throws FST_TASKS_INVALID_OPTION where the alias is no database backend
 * @example
 * ```ts
 * import type { FastifyInstance } from 'fastify'
 * import { drain } from 'fastify-tasks/testing'
 *
 * export async function signUp (app: FastifyInstance): Promise<void> {
 *   await app.inject({ method: 'POST', url: '/signup', payload: { email: 'ann@example.com' } })
 *   await app.tasks.flushed()
 *   await drain(app)
 * }
 * ```
 */
export async function drain (app: FastifyInstance, options: Omit<WorkerOptions, 'batch'> = {}): Promise<void> {
  await createWorker(app, { listen: false, ...options, batch: true }).run()
}
