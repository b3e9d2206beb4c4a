import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Knex } from 'knex'
import type { TaskContext } from '../core/context.js'
import { createTaskResult, newResultFields, replaceFields, type ResultFields, type TaskResult } from '../core/result.js'
import { encodeValue, decode } from '../core/json.js'
import { ATTEMPT_ENDED, UNSUPPORTED } from '../core/errors.js'
import { DatabaseBackend } from '../backends/database.js'
import { DEPTH_MAX, RESULT_BYTES_MAX } from '../core/limits.js'

/** What {@link createContext} may be told. */
export interface TestContextOptions {
  /** 1 is the first, and the default. */
  readonly attempt?: number | undefined
  /** Abort it to see what the task does. Default: one that is never aborted. */
  readonly signal?: AbortSignal | undefined
  /** Fields of `context.taskResult`, such as `id` and `args`. */
  readonly taskResult?: Partial<ResultFields> | undefined
}

/**
 * A context for calling a task that takes one directly, without a worker: `await build(createContext(app), '2026-11')`.
 * `progress` is kept in `context.taskResult.progress`; `transaction` commits on the app's database backend, and writes no
 * ending, because nothing was enqueued.
 *
 * @example
 * ```ts
 * import type { FastifyInstance } from 'fastify'
 * import { task } from 'fastify-tasks'
 * import { createContext } from 'fastify-tasks/testing'
 *
 * const build = task('reports.build', { takesContext: true }, async (context, month: string) => {
 *   await context.progress({ month })
 *   return context.attempt
 * })
 *
 * export async function secondAttempt (app: FastifyInstance): Promise<number> {
 *   return await build(createContext(app, { attempt: 2 }), '2026-11')
 * }
 * ```
 */
export function createContext (app: FastifyInstance, { attempt = 1, signal = new AbortController().signal, taskResult = {} }: TestContextOptions = {}): TaskContext {
  const fields = createFields(attempt, taskResult)
  const result = resultOf(app, fields)
  let ended = false
  return Object.freeze({
    app,
    taskResult: result,
    attempt,
    log: app.log.child({ taskId: fields.id, attempt }),
    signal,
    async progress (value: unknown) {
      if (ended) throw new ATTEMPT_ENDED('store progress')
      const text = encodeValue(value, { maxBytes: RESULT_BYTES_MAX, maxDepth: DEPTH_MAX, path: 'progress' })
      replaceFields(result, Object.freeze({ ...fields, progress: decode(text) }))
    },
    async transaction<T> (fn: (trx: Knex.Transaction) => Promise<T>): Promise<T> {
      if (ended) throw new ATTEMPT_ENDED('open a transaction')
      const value = await transact(app, fields.backend, fn)
      ended = true
      return value
    }
  })
}

async function transact<T> (app: FastifyInstance, alias: string, fn: (trx: Knex.Transaction) => Promise<T>): Promise<T> {
  const backend = app.tasks.backend(alias)
  if (!(backend instanceof DatabaseBackend)) throw new UNSUPPORTED(alias, 'context.transaction()')
  const open = await backend.store.begin()
  let value: T
  try {
    value = await fn(open.transaction)
  } catch (error) {
    await open.rollback()
    throw error
  }
  await open.commit()
  return value
}

function createFields (attempt: number, given: Partial<ResultFields>): ResultFields {
  const now = new Date()
  return newResultFields({ id: randomUUID(), taskName: 'test', args: [], backend: 'default', queueName: 'default', priority: 0 }, {
    status: 'RUNNING',
    enqueuedAt: now,
    startedAt: now,
    lastAttemptedAt: now,
    attempts: attempt,
    workerIds: ['test'],
    ...given
  })
}

function resultOf (app: FastifyInstance, fields: ResultFields): TaskResult {
  return createTaskResult(fields, { alias: fields.backend, task: (name) => app.tasks.task(name) })
}
