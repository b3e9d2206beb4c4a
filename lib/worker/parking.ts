import type { Lane, LaneHead, StrangeGroup, Store } from '../store/store.js'
import { PARK_AGAIN_MS } from '../core/limits.js'

export interface ParkingSettings {
  readonly store: Store
  readonly backend: string
  /** Names that this worker knows. */
  readonly tasks: () => readonly string[]
}

const BATCHES_MAX = 20 // at a time: a look is not to be held up for long

/**
 * Puts rows whose names no live worker knows out of the way of claims, when a look finds one at the head of its lane;
 * and lets rows go that wait for a name of ours.
 */
export class Parking {
  readonly #settings: ParkingSettings
  #again = 0

  constructor (settings: ParkingSettings) {
    this.#settings = settings
  }

  /** Lanes that begin with a due row which this worker does not know. */
  strange (heads: readonly LaneHead[], now: number): LaneHead[] {
    const names = this.#settings.tasks()
    return heads.filter(({ due, task }) => due <= now && task !== undefined && !names.includes(task))
  }

  /** Look, and as long as what is found can be put out of the way, put it there and look again. */
  async cleared<T> (look: () => Promise<T>, strangeOf: (found: T) => { lanes?: readonly LaneHead[], groups?: readonly StrangeGroup[] }): Promise<T> {
    const { store, backend, tasks } = this.#settings
    for (let batch = 1; ; batch++) {
      const found = await look()
      const { lanes = [], groups = [] } = strangeOf(found)
      if (lanes.length + groups.length === 0 || batch > BATCHES_MAX || performance.now() < this.#again) return found
      if (await store.park({ backend, tasks: tasks(), lanes: lanes.map(from), groups }) > 0) continue
      // Other live workers know them.
      this.#again = performance.now() + PARK_AGAIN_MS
      return found
    }
  }

  /** Let go what waits for a name of ours. */
  async letGo (signal: AbortSignal): Promise<void> {
    const { store, backend, tasks } = this.#settings
    while (!signal.aborted && await store.unpark({ backend, tasks: tasks() }) > 0);
  }
}

function from ({ queue, priority, due, tie }: LaneHead): Lane {
  return { queue, priority, after: tie === undefined ? null : { due, tie: tie - 1 } }
}
