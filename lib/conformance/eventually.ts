import { setTimeout as sleep } from 'node:timers/promises'

/** Try an assertion until it holds; after `timeout` ms its last error is thrown. */
export async function eventually<T> (assertion: () => T | Promise<T>, timeout = 10_000): Promise<T> {
  const deadline = performance.now() + timeout
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (performance.now() >= deadline) throw error
    }
    await sleep(10)
  }
}
