import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Try an assertion until it holds, and answer what it returned; after `timeout` ms its last error is thrown.
 *
 * @example
 * ```ts
 * await eventually(async () => { assert.equal((await task.getResult(id)).status, 'SUCCESSFUL') })
 * ```
 */
export async function eventually<T> (assertion: () => T | Promise<T>, { timeout = 90_000, interval = 20 } = {}): Promise<T> {
  const deadline = performance.now() + timeout
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (performance.now() >= deadline) throw error
    }
    await sleep(interval)
  }
}

/** The promise's value, or an error that names what was waited for after `timeout` ms. */
export async function within<T> (timeout: number, what: string, promise: Promise<T>): Promise<T> {
  const cancelled = new AbortController()
  const late = sleep(timeout, undefined, { signal: cancelled.signal })
    .then(() => { throw new Error(`${what} did not come within ${timeout} ms`) })
  late.catch(() => {})
  try {
    return await Promise.race([promise, late])
  } finally {
    cancelled.abort()
  }
}
