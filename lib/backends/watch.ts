import { WAIT_POLL_MS } from '../core/limits.js'
import type { ResultFields } from '../core/result.js'
import { isFinishedStatus } from '../core/status.js'
import { after } from '../core/timer.js'
import { checkWait, within, type WaitOptions } from '../core/wait.js'

/** Where results are read, and their ends are heard of. */
export interface Watched {
  read (id: string): Promise<ResultFields>
  /** Calls `onChange` when the result may have ended: a hint. Answers a function that ends the watch. */
  watch (id: string, onChange: () => void): Promise<() => Promise<void>>
  /** Aborts all waits, with its reason. */
  readonly closing: AbortSignal
}

/**
 * `result.wait()` for a store that tells of ends: woken by it, and reading every second all the same, which is the rule
 * that it rests on.
 *
 * @throws FST_TASKS_WAIT_TIMEOUT, FST_TASKS_CLOSED, the signal's reason when it aborts, what `read` throws
 */
export async function waitByWatching (id: string, watched: Watched, options: WaitOptions): Promise<ResultFields> {
  const { signal, timeout } = checkWait(options)
  const { closing } = watched
  closing.throwIfAborted()
  let [over, woken] = [false, false]
  let wake = (): void => {}
  const watching = watched.watch(id, () => { woken = true; wake() }).catch(() => async () => {})
  const poll = async (): Promise<ResultFields> => {
    await watching // before the first read: what ends after that read is heard of
    for (;;) {
      woken = false
      const fields = await watched.read(id)
      if (over || isFinishedStatus(fields.status)) return fields
      if (!woken) {
        await new Promise<void>((resolve) => {
          const stop = after(WAIT_POLL_MS, resolve)
          wake = () => { stop(); resolve() }
        })
      }
    }
  }
  return await within(id, { timeout, signal: signal === undefined ? closing : AbortSignal.any([signal, closing]) }, poll(), () => {
    over = true
    wake()
    void watching.then(async (stop) => { await stop() }).catch(() => {})
  })
}
