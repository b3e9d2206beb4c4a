import { monotonic } from './pause.js'
import type { Session } from './session.js'

export interface PoolWatchSettings {
  readonly session: () => Session | null
  readonly ping: () => Promise<void>
  readonly onBroken: () => void
}

/**
 * Notices a process whose own connections are lost for good while its lease goes on, renewed over one of the keeper's:
 * tasks have destroyed the app's pool, or hold all of its connections. That does not pass by itself, as an outage does.
 */
export class PoolWatch {
  readonly #settings: PoolWatchSettings
  #asking = false

  constructor (settings: PoolWatchSettings) {
    this.#settings = settings
  }

  /** Calls have been failing for longer than a lease: one that is held all the same was renewed meanwhile. */
  async look (): Promise<void> {
    if (this.#asking || !this.#isRenewed()) return
    this.#asking = true
    const answers = await this.#settings.ping().then(() => true, () => false)
    this.#asking = false
    if (!answers && this.#isRenewed()) this.#settings.onBroken()
  }

  #isRenewed (): boolean {
    return (this.#settings.session()?.lease.heldUntil ?? 0) > monotonic()
  }
}
