import type { Outcome } from '../run/outcome.js'
import type { StoredError } from '../store/store.js'
import type { CheckedRetry } from './task-options.js'
import { FatalTaskError } from './errors.js'
import { ERRORS_MAX } from './limits.js'

/** What is known of the result when its attempt is over. */
export interface Charged {
  /** The task's rule, or the backend's default; undefined for no retries. */
  readonly retry: CheckedRetry | undefined
  /** Attempts charged since the last time it was put back, this one included. */
  readonly attempts: number
  /** How many of them were deaths of the process: those spend no retry. */
  readonly deaths: number
  /** Of the attempts before this one, oldest first. */
  readonly errors: readonly StoredError[]
  /** For the jitter: 0 up to 1; Math.random by default. */
  readonly random?: () => number
}

/** An `Ending` without the claim it belongs to. */
export type Decision =
  | { readonly status: 'SUCCESSFUL', readonly returnValue: string }
  | { readonly status: 'FAILED' | 'CANCELLED', readonly errors: readonly StoredError[] }
  | { readonly status: 'READY', readonly errors: readonly StoredError[], readonly delay: number }

/** The outcomes that end an attempt and leave its ending to be written. */
export type Decidable = Extract<Outcome, { kind: 'returned' | 'failed' | 'cancelled' }>

/**
 * What becomes of a result after an attempt. A failure is retried while its rule has retries left, unless it is final
 * (a FatalTaskError, a return value that cannot be stored) or `retryIf` says no. A cancelled attempt has not failed:
 * it adds nothing to `errors`.
 *
 * `retryIf` and `backoff` are the user's and may go wrong: a `retryIf` that throws, or that answers with a promise,
 * means no retry; a `backoff` that throws, or gives no finite number from 0, means the exponential delay.
 */
export function decide (outcome: Decidable, charged: Charged): Decision {
  if (outcome.kind === 'returned') return { status: 'SUCCESSFUL', returnValue: outcome.text }
  if (outcome.kind === 'cancelled') return { status: 'CANCELLED', errors: charged.errors }
  const errors = withError(charged.errors, outcome.failure)
  const delay = outcome.final ? null : retryDelay(outcome.error, charged)
  return delay === null ? { status: 'FAILED', errors } : { status: 'READY', errors, delay }
}

/** The newest errors, bounded. */
export function withError (errors: readonly StoredError[], failure: StoredError): readonly StoredError[] {
  return [...errors, failure].slice(-ERRORS_MAX)
}

/** True for a FatalTaskError, also one of another copy of this package. Looks at hostile values without harm. */
export function isFatal (error: unknown): boolean {
  try {
    return error instanceof FatalTaskError || (error as { code?: unknown } | null | undefined)?.code === 'FST_TASKS_FATAL'
  } catch {
    return false
  }
}

/** Milliseconds until the next attempt, or null where there is to be none. */
function retryDelay (error: unknown, { retry, attempts, deaths, random = Math.random }: Charged): number | null {
  if (retry === undefined) return null
  const used = Math.max(0, attempts - deaths - 1)
  if (used >= retry.limit || isFatal(error) || !mayRetry(retry, error, attempts)) return null
  const { delay, factor, maxDelay, jitter, backoff } = retry
  const chosen = typeof backoff === 'function' ? ask(() => backoff(error, attempts)) : undefined
  if (typeof chosen === 'number' && Number.isFinite(chosen) && chosen >= 0) return Math.round(Math.min(chosen, maxDelay)) // exactly as asked: no jitter
  // May be Infinity, which the next line caps; without a delay it stays 0, where 0 × Infinity would be NaN.
  const base = backoff === 'fixed' || delay === 0 ? delay : delay * factor ** used
  const middle = Math.min(base, maxDelay)
  const spread = middle * (1 + jitter * (2 * random() - 1))
  // Folded back at the cap and not cut off at it, or half of all capped retries would come in the same millisecond.
  return Math.round(spread > maxDelay ? 2 * maxDelay - spread : spread)
}

function mayRetry ({ retryIf }: CheckedRetry, error: unknown, attempts: number): boolean {
  if (retryIf === undefined) return true
  const answer = ask(() => retryIf(error, attempts))
  return Boolean(answer) && !isThenable(answer)
}

/** The answer of the user's function; undefined where it throws. A promise's rejection is nobody's to hear. */
function ask (question: () => unknown): unknown {
  try {
    const answer = question()
    if (isThenable(answer)) Promise.resolve(answer).catch(() => {})
    return answer
  } catch {
    return undefined
  }
}

function isThenable (value: unknown): boolean {
  try {
    return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  } catch {
    return true
  }
}
