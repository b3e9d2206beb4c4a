import type { Store } from '../store/store.js'
import { openThreadStore, threadStoreOf } from './thread-store.js'

/**
 * Notices a process whose own connections are lost for good: tasks have destroyed the app's pool, or hold all of its
 * connections. The database answers over a fresh one, so this does not pass by itself, as an outage does.
 */
export class PoolWatch {
  readonly #store: Store
  readonly #onBroken: () => void
  #asking = false

  constructor (store: Store, onBroken: () => void) {
    this.#store = store
    this.#onBroken = onBroken
  }

  /** Calls have been failing for longer than a lease. */
  async look (): Promise<void> {
    if (this.#asking) return
    this.#asking = true
    if (!await answers(this.#store) && await this.#answersAfresh()) this.#onBroken()
    this.#asking = false
  }

  async #answersAfresh (): Promise<boolean> {
    const origin = threadStoreOf(this.#store)
    if (origin === null) return false
    const { store, release } = openThreadStore(origin)
    try {
      return await answers(store)
    } finally {
      await store.close().then(release).catch(() => {})
    }
  }
}

async function answers (store: Store): Promise<boolean> {
  return await store.ping().then(() => true, () => false)
}
