const SIGNALS = ['SIGTERM', 'SIGINT'] as const

/**
 * Calls `onSignal` for each signal, until the function that is returned is called. The process ends by itself soon after
 * that, which takes some milliseconds: a signal that comes meanwhile lets it end with its exit code all the same.
 */
export function hearSignals (onSignal: () => void): () => void {
  for (const signal of SIGNALS) {
    process.on(signal, onSignal)
    process.off(signal, leave) // of one that has ended in this process
  }
  process.off('beforeExit', leaveAtOnce)
  return () => {
    for (const signal of SIGNALS) {
      process.on(signal, leave)
      process.off(signal, onSignal)
    }
    process.on('beforeExit', leaveAtOnce)
  }
}

/** With `process.exitCode`, which is set before any signal is heard of. */
function leave (): void {
  process.exit()
}

/** A process that ends because nothing is left to do takes itself apart first, handlers of signals included. One that exits does not. */
function leaveAtOnce (): void {
  process.off('exit', leave)
  process.on('exit', leave) // behind all others
}
