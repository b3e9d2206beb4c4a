const STEP_MAX_MS = 2 ** 31 - 1 // setTimeout takes a longer delay for 1 ms

/** Call `then` once, after `ms` milliseconds, however many they are. The returned function calls it off. */
export function after (ms: number, then: () => void): () => void {
  if (ms <= STEP_MAX_MS) {
    const timer = setTimeout(then, ms)
    return () => { clearTimeout(timer) }
  }
  let left = ms
  let timer: NodeJS.Timeout
  const step = (): void => {
    const next = Math.min(left, STEP_MAX_MS)
    left -= next
    timer = setTimeout(left > 0 ? step : then, next)
  }
  step()
  return () => { clearTimeout(timer) }
}
