import { jittered, pause } from './pause.js'

export interface LoopSettings {
  /** Milliseconds between the end of one run and the next, spread by ±20%. */
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
      try {
        await run(signal)
      } catch (error) {
        onError(error)
      }
      await pause(jittered(every), signal)
    }
  }
}
