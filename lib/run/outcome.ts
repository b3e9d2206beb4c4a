import type { StoredError } from '../store/store.js'

/**
 * What one attempt led to. Made by `runAttempt`, turned into an `Ending` by the decision in core/retry.ts, written by a
 * reporter. Frozen.
 */
export type Outcome =
  /** The function returned; `text` is the stored form of `value`. */
  | { readonly kind: 'returned', readonly value: unknown, readonly text: string, readonly durationMs: number }
  /** It threw, timed out, called process.exit, or returned what cannot be stored (`final`: not to be retried). */
  | { readonly kind: 'failed', readonly error: unknown, readonly failure: StoredError, readonly final: boolean, readonly durationMs: number }
  /** It was aborted because its result was cancelled. */
  | { readonly kind: 'cancelled', readonly failure: StoredError, readonly durationMs: number }
  /** It was aborted by a shutdown or a lost lease: nobody's fault, handed back uncharged. */
  | { readonly kind: 'interrupted', readonly durationMs: number }
  /** context.transaction() has written the ending already. */
  | { readonly kind: 'committed', readonly value: unknown, readonly durationMs: number }

/** Why an attempt's signal is aborted. The reason on `signal` is the typed error: TIMEOUT, CANCELLED, SHUTDOWN or LEASE_LOST. */
export type AbortCause = 'timeout' | 'cancelled' | 'shutdown' | 'lease-lost'
