import type { Send, Session } from '../session.js'

/*
 * `unique_key` is the key that a row was enqueued under, for good. `unique_held` is true while the row holds it in the
 * unique index, and null otherwise. Who holds a key:
 *
 * - a row of scope 'unfinished' until it ends, one of a time until that is over: by the index alone;
 * - a row of scope 'ready' while it is READY: by the index until it is claimed. Put back READY (a retry, a hand-back, a
 *   rescue) it does not go into the index again: another row may have the key by now, and no write after a claim may fail
 *   for that, or wait for the transaction of a stranger who is enqueueing. Instead an insert under the key looks for such
 *   rows as well.
 */

/** A row of scope 'ready' that is READY again: the predicate of its index word for word, or that is not used. */
export function readyAgain (alias: string): string {
  return `${alias}.unique_ready AND ${alias}.unique_held IS NULL AND (${alias}.claimable OR ${alias}.parked IS NOT NULL)`
}

/** Take the key from a row whose time is over. */
export async function dropExpired ({ dialect, tables }: Session, run: Send, { backend, task, key }: { backend: string, task: string, key: string }): Promise<void> {
  await run(`
    UPDATE ${tables.results} SET unique_held = NULL
    WHERE backend = ? AND task = ? AND unique_key = ? AND unique_held AND unique_until <= ${dialect.now}`, [backend, task, key])
}
