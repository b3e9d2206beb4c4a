export const TIMER_MAX_MS = 2 ** 31 - 1 // setTimeout takes a longer delay for 1 ms

/** Resolves after `milliseconds`, 24 days at most, or as soon as the signal is aborted. Never rejects. */
export async function pause (milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, Math.min(milliseconds, TIMER_MAX_MS))
    signal?.addEventListener('abort', end, { once: true })
  })
}

/** True where the promise settled within `milliseconds`, or before the signal was aborted. */
export async function settledWithin (promise: Promise<unknown>, milliseconds: number, signal?: AbortSignal): Promise<boolean> {
  const over = new AbortController()
  const limit = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal])
  const settled = promise.then(() => true, () => true)
  try {
    return await Promise.race([settled, pause(milliseconds, limit).then(() => false)])
  } finally {
    over.abort()
  }
}

/** Milliseconds by a clock that never jumps and that all threads of the process share. */
export function monotonic (): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** An interval shortened by up to 20%, so that many workers do not ask in step. Never longer: what is published is a bound. */
export function jittered (milliseconds: number): number {
  return milliseconds * (0.8 + 0.2 * Math.random())
}
