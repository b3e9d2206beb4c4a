import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { BaseTaskBackend, EnqueueRequest } from '../lib/backends/base.js'
import type { HeldResult } from '../lib/core/held-result.js'
import { CLOSED, FLUSH_FAILED, INVALID_ARGUMENT, INVALID_BACKEND, INVALID_TASK, UNSUPPORTED } from '../lib/core/errors.js'
import { briefFailure } from '../lib/core/failure.js'
import type { TaskResult } from '../lib/core/result.js'
import type { TaskCore } from './task-core.js'

/** One enqueue of a request that is not stored yet. */
export interface HeldEnqueue {
  readonly backend: BaseTaskBackend<any>
  readonly request: EnqueueRequest
  readonly held: HeldResult
}

/** Of one backend: stored in one round trip. */
type Group = readonly HeldEnqueue[]
interface Failure { readonly group: Group, readonly error: Error }

// What the same call would meet again, however often it is made.
const HOPELESS = [INVALID_TASK, INVALID_ARGUMENT, INVALID_BACKEND, UNSUPPORTED, CLOSED]
const PAUSE_MS = 50 // before the second try; doubled for each that follows
const PAUSE_MAX_MS = 1_000

/**
 * Store what a request collected, one round trip for each backend, before its reply leaves: one try.
 * @throws FST_TASKS_FLUSH_FAILED
 */
export async function flushNow (core: TaskCore, items: readonly HeldEnqueue[], log: FastifyBaseLogger): Promise<void> {
  const stored: TaskResult[] = []
  for (const group of byBackend(items)) {
    try {
      stored.push(...await store(core, group))
    } catch (error) {
      // The client is told that nothing was stored: what another backend took already is taken back.
      await Promise.allSettled(stored.map(async (result) => await result.cancel()))
      log.error({ tasks: idsOf(items), ...briefFailure(error) }, 'the tasks of a request could not be stored; its client is told so')
      throw flushFailed(items.length, error as Error)
    }
  }
}

/**
 * The same after the response: tried again for `flushRetry`, then logged with the ids and reported once. Never rejects;
 * answers the error of what was lost.
 */
export async function flushForSure (core: TaskCore, items: readonly HeldEnqueue[], log: FastifyBaseLogger): Promise<Error | null> {
  const deadline = performance.now() + core.settings.flushRetry
  const failed = await tryEach(core, byBackend(items))
  return failed.length === 0 ? null : await flushAgain(core, failed, deadline, log)
}

async function flushAgain (core: TaskCore, failures: readonly Failure[], deadline: number, log: FastifyBaseLogger): Promise<Error | null> {
  const lost: Failure[] = []
  for (let [failed, pause] = [failures, PAUSE_MS]; ; pause = Math.min(pause * 2, PAUSE_MAX_MS)) {
    const late = performance.now() + pause > deadline
    const groups: Group[] = []
    for (const failure of failed) {
      if (late || HOPELESS.some((kind) => failure.error instanceof kind)) lost.push(failure)
      else groups.push(failure.group)
    }
    if (groups.length === 0) break
    await delay(pause)
    failed = await tryEach(core, groups)
  }
  return lost.length === 0 ? null : await report(core, lost, log)
}

export function flushFailed (count: number, cause: Error, outcome = outcomeOf(cause)): Error {
  return new (FLUSH_FAILED as unknown as new (count: number, outcome: string, options: ErrorOptions) => Error)(count, outcome, { cause })
}

/** What may be said of a write that failed so. */
export function outcomeOf (cause: unknown): string {
  const unsure = (cause as { unsure?: unknown } | null | undefined)?.unsure === true
  return unsure ? 'the answer of the database was lost, and they may be stored or not. Look before you try again' : NOTHING
}

export const NOTHING = 'nothing was stored; try again'

export function idsOf (items: readonly HeldEnqueue[]): string[] {
  return items.map(({ request }) => request.id)
}

function byBackend (items: readonly HeldEnqueue[]): Group[] {
  if (items.length === 1) return [items]
  const groups = new Map<BaseTaskBackend<any>, HeldEnqueue[]>()
  for (const item of items) {
    const group = groups.get(item.backend)
    if (group === undefined) groups.set(item.backend, [item])
    else group.push(item)
  }
  return [...groups.values()]
}

/** The groups that could not be stored, in their order. */
async function tryEach (core: TaskCore, groups: readonly Group[]): Promise<Failure[]> {
  const attempt = async (group: Group): Promise<Failure | null> => {
    try {
      await store(core, group)
      return null
    } catch (error) {
      return { group, error: error as Error }
    }
  }
  // Each request that enqueues waits here, most for one backend.
  const failures = groups.length === 1 ? [await attempt(groups[0] as Group)] : await Promise.all(groups.map(attempt))
  return failures.filter((failure) => failure !== null)
}

async function store (core: TaskCore, group: Group): Promise<TaskResult[]> {
  const { backend } = group[0] as HeldEnqueue
  const results = await core.send(backend, Object.freeze(group.map(({ request }) => request)))
  group.forEach(({ held }, index) => { held.follow(results[index] as TaskResult) })
  return results
}

async function report (core: TaskCore, lost: readonly Failure[], log: FastifyBaseLogger): Promise<Error> {
  const [{ error }] = lost as [Failure, ...Failure[]]
  const items = lost.flatMap(({ group }) => group)
  for (const { held } of items) held.drop()
  log.error({ tasks: idsOf(items), ...briefFailure(error) }, 'the tasks of a request could not be stored and are lost')
  try {
    await core.settings.onFlushError?.(error, items.map(({ held }) => held.result))
  } catch (thrown) {
    log.error(briefFailure(thrown), 'onFlushError failed')
  }
  return error
}
