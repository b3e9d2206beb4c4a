import { AsyncResource } from 'node:async_hooks'
import type { Listener, WakeEvent } from '../store.js'

/** Hints that rows may have changed, from whatever the database offers. Late, double or lost hints are allowed. */
export interface Wake {
  /** Rows may have become claimable. */
  onReady (listener: (event: WakeEvent) => void): Promise<Listener>
  /** This result may have ended. */
  onEnded (id: string, listener: () => void): Promise<() => Promise<void>>
  /** To be taken by a statement that stores rows, where it can; null where it need not. Then given to `stored`. */
  hint (): Hint | null
  /** This process stored rows that are due: wake its own workers now, and those of others soon, unless a hint did. */
  stored (hint?: Hint | null): void
  /** Something that is waited for may have ended, in this process. */
  ended (): void
  close (): Promise<void>
}

/** Word to workers that goes with a statement, and is heard when that commits: a round trip less than afterwards. */
export interface Hint {
  readonly channel: string
  /** Monotonic, in ms. */
  readonly since: number
  /** What became of it: set by the statement that took it along. */
  outcome: 'carried' | 'refused' | null
}

/** Listeners by subject; the part of a Wake that has nothing to do with a database. */
export class Listeners {
  readonly #ready = new Set<(event: WakeEvent) => void>()
  readonly #ended = new Map<string, Set<() => void>>()

  get hasReady (): boolean { return this.#ready.size > 0 }
  get hasEnded (): boolean { return this.#ended.size > 0 }

  addReady (listener: (event: WakeEvent) => void): () => void {
    // Called by whoever stores a row: what is run for it is not to be inside of that one's request or transaction.
    const outside = AsyncResource.bind(listener)
    this.#ready.add(outside)
    return () => { this.#ready.delete(outside) }
  }

  addEnded (id: string, listener: () => void): () => void {
    const set = this.#ended.get(id) ?? new Set()
    this.#ended.set(id, set.add(listener))
    return () => {
      set.delete(listener)
      if (set.size === 0) this.#ended.delete(id)
    }
  }

  ready (event: WakeEvent = { queue: null }): void {
    for (const listener of this.#ready) listener(event)
  }

  /** Of one id, or of all. */
  ended (id?: string): void {
    const sets = id === undefined ? [...this.#ended.values()] : [this.#ended.get(id) ?? []]
    for (const set of sets) for (const listener of set) listener()
  }
}
