const SIGNALS = ['SIGTERM', 'SIGINT'] as const

const LEAVE_MS = 1_000 // what runs for longer than this after the end is the caller's own, and so are its signals

let leaving: NodeJS.Timeout | null = null

/**
 * Calls `onSignal` for each signal, until the function that is returned is called. The process ends by itself soon after
 * that, which takes some milliseconds: a signal that comes meanwhile lets it end with its exit code all the same.
 */
export function hearSignals (onSignal: () => void): () => void {
  stopLeaving() // of one that has ended in this process
  for (const signal of SIGNALS) process.on(signal, onSignal)
  return () => {
    for (const signal of SIGNALS) {
      process.on(signal, leave)
      process.off(signal, onSignal)
    }
    process.on('beforeExit', leaveAtOnce)
    leaving = setTimeout(stopLeaving, LEAVE_MS).unref()
  }
}

function stopLeaving (): void {
  if (leaving !== null) clearTimeout(leaving)
  leaving = null
  for (const signal of SIGNALS) process.off(signal, leave)
  process.off('beforeExit', leaveAtOnce)
}

/** With `process.exitCode`, which is set before any signal is heard of. Where the caller hears signals itself, it is asked. */
function leave (signal?: NodeJS.Signals | number): void {
  if (typeof signal === 'string' && process.listenerCount(signal) > 1) return
  process.exit()
}

/** A process that ends because nothing is left to do takes itself apart first, handlers of signals included. One that exits does not. */
function leaveAtOnce (): void {
  process.off('exit', leave)
  process.on('exit', leave) // behind all others
}
