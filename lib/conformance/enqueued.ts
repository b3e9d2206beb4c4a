import type { FastifyInstance } from 'fastify'
import type { TaskResult } from '../core/result.js'
import { DummyBackend } from '../backends/dummy.js'
import { LIST_LIMIT_MAX } from '../core/limits.js'

/**
 * What a backend holds, in the order of the enqueues: every result of a Dummy or a database backend, in whatever status.
 *
 * @param options - `backend`: its alias (default: `default`)
 * @throws FST_TASKS_UNSUPPORTED where the backend cannot list
 * @example
 * ```ts
 * import assert from 'node:assert'
 * import type { FastifyInstance } from 'fastify'
 * import { enqueued } from 'fastify-tasks/testing'
 *
 * export async function oneMail (app: FastifyInstance): Promise<void> {
 *   const results = await enqueued(app)
 *   assert.deepEqual(results.map(({ taskName, args }) => [taskName, args]), [['mails.welcome', ['ann@example.com']]])
 * }
 * ```
 */
export async function enqueued (app: FastifyInstance, { backend = 'default' }: { backend?: string | undefined } = {}): Promise<TaskResult[]> {
  const instance = app.tasks.backend(backend)
  if (instance instanceof DummyBackend) return [...instance.results]
  const newestFirst: TaskResult[] = []
  let after: string | undefined
  do {
    const { results, next } = await app.tasks.list({ limit: LIST_LIMIT_MAX, after }, { backend })
    newestFirst.push(...results)
    after = next ?? undefined
  } while (after !== undefined)
  return newestFirst.reverse()
}
