import { jittered, pause } from './pause.js'

export interface LoopSettings {
  /** Milliseconds from the beginning of one run to that of the next, at most, unless a run takes that long. */
  readonly every: number
  /** One turn. Looks at the signal where it has several steps. */
  readonly run: (signal: AbortSignal) => Promise<void>
  readonly onError: (error: unknown) => void
}

/** Runs one thing again and again, never twice at a time, until it is stopped. */
export class Loop {
  readonly #settings: LoopSettings
  readonly #stop = new AbortController()
  #ended: Promise<void> | null = null

  constructor (settings: LoopSettings) {
    this.#settings = settings
  }

  start (firstAfter = 0): void {
    this.#ended ??= this.#turn(firstAfter)
  }

  /** Resolves when the turn under way is over. */
  async stop (): Promise<void> {
    this.#stop.abort()
    await this.#ended
  }

  async #turn (firstAfter: number): Promise<void> {
    const { every, run, onError } = this.#settings
    const { signal } = this.#stop
    await pause(firstAfter, signal)
    while (!signal.aborted) {
      const began = performance.now()
      try {
        await run(signal)
      } catch (error) {
        onError(error)
      }
      // A run that takes longer than the interval is not followed by the next at once.
      await pause(Math.max(every / 5, jittered(every) - (performance.now() - began)), signal)
    }
  }
}
