import type { FastifyInstance } from 'fastify'
import type { TaskResult } from '../core/result.js'
import type { AnyTask, ResultOf } from '../core/task.js'
import { DummyBackend } from '../backends/dummy.js'
import { ImmediateBackend } from '../backends/immediate.js'
import { LIST_LIMIT_MAX } from '../core/limits.js'
import { timeOf } from './clock.js'
import { assertEnqueued, type Looked } from './enqueued-assertion.js'
import { checkMatch, mismatches, type EnqueueMatch } from './enqueued-match.js'

/** What a backend holds, to be awaited, and what a test claims of it. Each call looks anew. */
export interface Enqueued extends Promise<TaskResult[]> {
  /** At least one fits. Answers all that do, in the order of the enqueues. @throws AssertionError */
  some<T extends AnyTask> (match: EnqueueMatch<T>): Promise<Array<ResultOf<T>>>
  /** Exactly one fits. Answers it. @throws AssertionError */
  one<T extends AnyTask> (match: EnqueueMatch<T>): Promise<ResultOf<T>>
  /** Exactly so many fit. Answers them. @throws AssertionError */
  count<T extends AnyTask> (times: number, match?: EnqueueMatch<T>): Promise<Array<ResultOf<T>>>
  /** None fits; without a match, nothing was enqueued at all. @throws AssertionError */
  none<T extends AnyTask> (match?: EnqueueMatch<T>): Promise<void>
}

/**
 * What was enqueued: `await enqueued(app)` gives every result of a backend in the order of the enqueues, in whatever
 * status; its methods assert, in any test framework, and say what was enqueued instead. What requests have collected is
 * stored first. Dummy and database backends keep everything, the Immediate one its last 1,000 in this process.
 *
 * @param options - `backend`: its alias (default: `default`)
 * @throws (when awaited) FST_TASKS_UNSUPPORTED where the backend cannot list, FST_TASKS_INVALID_OPTION for a match that is none
 * @example
 * ```ts
 * import type { FastifyInstance } from 'fastify'
 * import { task } from 'fastify-tasks'
 * import { enqueued } from 'fastify-tasks/testing'
 *
 * const welcome = task('mails.welcome', async (email: string) => { console.log('welcome', email) })
 *
 * export async function oneMail (app: FastifyInstance): Promise<void> {
 *   await enqueued(app).one({ task: welcome, args: ['ann@example.com'], queueName: 'default' })
 *   await enqueued(app).none({ task: welcome, args: [/@example\.org$/] })
 * }
 * ```
 */
export function enqueued (app: FastifyInstance, { backend = 'default' }: { backend?: string | undefined } = {}): Enqueued {
  const look = async (given: EnqueueMatch<any> = {}): Promise<Looked> => {
    const match = checkMatch(given)
    const all = await allOf(app, backend)
    const tagged = match.tags === undefined ? null : await withTags(app, backend, match.tags)
    const now = timeOf(app)
    return { match, candidates: all.map((result) => ({ result, differs: mismatches(result, match, { tagged, now }) })) }
  }
  const list = async (): Promise<TaskResult[]> => await allOf(app, backend)
  return Object.freeze({
    [Symbol.toStringTag]: 'Promise',
    then: (done, failed) => list().then(done, failed),
    catch: (failed) => list().catch(failed),
    finally: (done) => list().finally(done),
    some: async (match) => assertEnqueued('some', await look(match), 'at least one', (found) => found >= 1),
    one: async (match) => assertEnqueued('one', await look(match), 'exactly one', (found) => found === 1)[0],
    count: async (times, match) => assertEnqueued('count', await look(match), `exactly ${times}`, (found) => found === times),
    none: async (match) => { assertEnqueued('none', await look(match), 'none', (found) => found === 0) }
  } satisfies Enqueued as Enqueued)
}

async function allOf (app: FastifyInstance, backend: string): Promise<TaskResult[]> {
  const instance = app.tasks.backend(backend)
  await app.tasks.flushed()
  if (instance instanceof DummyBackend) return [...instance.results]
  if (instance instanceof ImmediateBackend) return instance.results
  return await listed(app, backend)
}

async function withTags (app: FastifyInstance, backend: string, tags: readonly string[]): Promise<ReadonlySet<string>> {
  const lists = await Promise.all(tags.map(async (tag) => await listed(app, backend, tag)))
  const [first = [], ...others] = lists.map((results) => results.map(({ id }) => id))
  return new Set(first.filter((id) => others.every((ids) => ids.includes(id))))
}

async function listed (app: FastifyInstance, backend: string, tag?: string): Promise<TaskResult[]> {
  const newestFirst: TaskResult[] = []
  let after: string | undefined
  do {
    const { results, next } = await app.tasks.list({ tag, limit: LIST_LIMIT_MAX, after }, { backend })
    newestFirst.push(...results)
    after = next ?? undefined
  } while (after !== undefined)
  return newestFirst.reverse()
}
