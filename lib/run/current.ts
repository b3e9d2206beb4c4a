import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyInstance } from 'fastify'

/** The attempt that the running code belongs to, for those who catch what it throws past its own function. */
export interface CurrentAttempt {
  /** Of the task result. */
  readonly id: string
  readonly taskName: string
  /** True once it has an outcome: nothing can change it any more. */
  readonly ended: boolean
  /**
   * Make the outcome a failure, whatever the function does later: its signal is aborted with this error and it gets the
   * grace to settle. Changes nothing where it was aborted for another reason; once it has ended, its outcome stands.
   */
  fail (error: unknown): void
  /** It has called `close()` of this app. Where its own is part of it, and the shutdown has to interrupt it, it has failed for good. */
  closes (root: FastifyInstance): void
}

const storage = new AsyncLocalStorage<CurrentAttempt | undefined>()

/** The attempt whose function called us, however indirectly; undefined outside of one. */
export function currentAttempt (): CurrentAttempt | undefined {
  return storage.getStore()
}

/** Run code as part of an attempt, or (undefined) as part of none. */
export function withinAttempt<T> (attempt: CurrentAttempt | undefined, run: () => T): T {
  return storage.run(attempt, run)
}
