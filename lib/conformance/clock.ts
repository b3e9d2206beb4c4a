import type { FastifyInstance } from 'fastify'
import type { Clock } from '../core/clock.js'
import { hostOf } from '../core/host.js'
import { durationToMs, DURATION_RULE } from '../core/duration.js'
import { INVALID_OPTION } from '../core/errors.js'
import { DURATION_MAX_MS } from '../core/limits.js'
import type { Duration } from '../core/task.js'
import { DatabaseBackend } from '../backends/database.js'

/** The time of an app's tasks, made by {@link createClock}. It runs on by itself, and a test moves it. */
export interface TestClock {
  /** The host's time with what was added. On PostgreSQL the server's clock decides, as ever, with the same added. */
  now (): Date
  /** Move it on: `'1h'`, `'14d'` or milliseconds. Answers the new time. @throws FST_TASKS_INVALID_OPTION */
  advance (duration: Duration): Date
  /** Move it to a moment, back as well. Answers it. @throws FST_TASKS_INVALID_OPTION */
  set (moment: Date): Date
  /** Back to the real time. */
  reset (): void
}

/**
 * A clock for the tasks of one app, in this process: what is deferred, waiting retries, the windows of unique keys, rate
 * limits and retention come due without waiting. {@link drain} obeys it, and so does a worker that runs in this process.
 * Asked again, it is the same one.
 *
 * What tells a live worker from a dead one is not moved, nor are `timeout` and `Date.now()` of your own code.
 *
 * @throws FST_TASKS_INVALID_OPTION where `NODE_ENV` is `production`
 * @example
 * ```ts
 * import type { FastifyInstance } from 'fastify'
 * import { createClock, drain } from 'fastify-tasks/testing'
 *
 * export async function tomorrow (app: FastifyInstance): Promise<void> {
 *   createClock(app).advance('1d')
 *   await drain(app)
 * }
 * ```
 */
export function createClock (app: FastifyInstance): TestClock {
  if (process.env['NODE_ENV'] === 'production') throw new INVALID_OPTION('createClock()', "is for tests, and NODE_ENV is 'production'")
  const host = hostOf(app)
  const known = clocks.get(host)
  if (known !== undefined) return known
  const shift: { -readonly [Field in keyof Clock]: Clock[Field] } = { offset: 0 }
  for (const backend of host.backends) backend.useClock(shift)
  host.log.warn('a test has taken over the clock of the tasks')
  const moveTo = (offset: number): Date => {
    if (!(Math.abs(offset) <= DURATION_MAX_MS)) throw new INVALID_OPTION('clock', 'must stay within a hundred years of the present')
    shift.offset = Math.round(offset)
    // What is due now is looked for at once.
    for (const backend of host.backends) if (backend instanceof DatabaseBackend) backend.store.committed()
    return clock.now()
  }
  const clock: TestClock = Object.freeze({
    now: () => new Date(Date.now() + shift.offset),
    advance: (duration: Duration) => {
      const milliseconds = durationToMs(duration)
      if (milliseconds === null) throw new INVALID_OPTION('clock.advance()', DURATION_RULE)
      return moveTo(shift.offset + milliseconds)
    },
    set: (moment: Date) => {
      if (!(moment instanceof Date) || Number.isNaN(moment.getTime())) throw new INVALID_OPTION('clock.set()', 'must be given a valid Date')
      return moveTo(moment.getTime() - Date.now())
    },
    reset: () => { moveTo(0) }
  })
  clocks.set(host, clock)
  return clock
}

const clocks = new WeakMap<object, TestClock>()

/** By the test's clock where the app has one. */
export function timeOf (app: FastifyInstance): number {
  return clocks.get(hostOf(app))?.now().getTime() ?? Date.now()
}
