import type { ResultFields } from './result.js'
import type { Duration } from './task.js'
import { durationToMs, DURATION_RULE } from './duration.js'
import { INVALID_OPTION, WAIT_TIMEOUT } from './errors.js'
import { WAIT_TIMEOUT_MS } from './limits.js'
import { isFinishedStatus } from './status.js'
import { after } from './timer.js'

export interface WaitOptions {
  readonly timeout?: Duration | undefined
  readonly signal?: AbortSignal | undefined
}

export interface CheckedWait {
  /** Milliseconds. */
  readonly timeout: number
  readonly signal: AbortSignal | undefined
}

const POLL_MIN_MS = 10
const POLL_MAX_MS = 1_000

/** @throws FST_TASKS_INVALID_OPTION, and the signal's reason where it is aborted already */
export function checkWait ({ timeout = WAIT_TIMEOUT_MS, signal }: WaitOptions = {}): CheckedWait {
  const ms = durationToMs(timeout)
  if (ms === null) throw new INVALID_OPTION('timeout', `it ${DURATION_RULE}.`)
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new INVALID_OPTION('signal', 'it must be an AbortSignal.')
  signal?.throwIfAborted()
  return { timeout: ms, signal }
}

/**
 * `result.wait()` for a source that can only be read: asks again and again, at first soon and then every `pollMax`
 * milliseconds. Resolves with the fields of the finished result.
 *
 * @throws FST_TASKS_WAIT_TIMEOUT, the signal's reason when it aborts, what `read` throws
 */
export async function waitByReading (id: string, read: (id: string) => Promise<ResultFields>, options: WaitOptions, pollMax = POLL_MAX_MS): Promise<ResultFields> {
  const limits = checkWait(options)
  let over = false
  let stopPause = (): void => {}
  const poll = async (): Promise<ResultFields> => {
    for (let pause = POLL_MIN_MS; ; pause = Math.min(pause * 2, pollMax)) {
      const fields = await read(id)
      if (over || isFinishedStatus(fields.status)) return fields
      await new Promise<void>((resolve) => { stopPause = after(pause, resolve) })
    }
  }
  return await within(id, limits, poll(), () => {
    over = true
    stopPause()
  })
}

/** What `work` resolves with, unless time runs out or the signal aborts before; `stop` is called in any case. */
export async function within<T> (id: string, { timeout, signal }: CheckedWait, work: Promise<T>, stop: () => void): Promise<T> {
  let release = (): void => {}
  const limit = new Promise<never>((_resolve, reject) => {
    const stopTimer = after(timeout, () => { reject(new WAIT_TIMEOUT(id, timeout)) })
    const onAbort = (): void => {
      const reason: any = signal?.reason // whatever the caller aborted with
      reject(reason)
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    release = () => {
      stopTimer()
      signal?.removeEventListener('abort', onAbort)
    }
  })
  try {
    return await Promise.race([work, limit])
  } finally {
    release()
    stop()
  }
}
