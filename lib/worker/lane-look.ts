import type { LaneHead, Lanes, Store } from '../store/store.js'
import { LANES_FRESH_FACTOR, LANES_FRESH_MAX_MS, LANES_FRESH_MS, RETURNED_KEPT_MS } from '../core/limits.js'
import type { Cursors, Depth } from './cursors.js'
import { withReturned, type KnownLanes } from './known-lanes.js'
import type { Limited } from './limited.js'
import type { Parking } from './parking.js'

export interface LaneLookSettings {
  readonly store: Store
  readonly backend: string
  readonly takes: (queue: string) => boolean
  readonly quarantined: () => boolean
  readonly parking: Parking
  readonly cursors: Cursors
  readonly limited: Limited
}

const RETURNED_LATE_MS = 2_000 // what came back is written down at the end of its transaction, and seen once that has committed

/** Looks which lanes hold rows for this worker; on the way, rows that no claim should meet are put out of the way. */
export class LaneLook {
  readonly #settings: LaneLookSettings
  /** By the database's clock; null before the first look. */
  #lookedAt: number | null = null
  #readAt = 0
  /** Turn back for rows that are not for this worker, too. */
  #turnsBack = false

  constructor (settings: LaneLookSettings) {
    this.#settings = settings
  }

  /** The next look starts from the head of each lane, though it may be a row that is not for this worker. */
  turnAllBack (): void {
    this.#turnsBack = true
  }

  /** The lanes that there are, highest priority first; good for a while, as long as claims from them are full. */
  async read (depth: Depth): Promise<KnownLanes> {
    const { store, backend, parking, cursors, limited, takes } = this.#settings
    const quarantined = this.#settings.quarantined()
    // Nobody who has slept for so long knows what came back meanwhile.
    if (this.#lookedAt !== null && performance.now() - this.#readAt > RETURNED_KEPT_MS / 2) cursors.forget()
    const since = this.#lookedAt === null ? null : this.#lookedAt - RETURNED_LATE_MS
    const strangeOf = ({ lanes, now }: Lanes): LaneHead[] => quarantined ? [] : parking.strange(lanes, now)
    let took = 0
    const found = await parking.cleared(async () => {
      const asked = performance.now()
      const lanes = await store.lanes({ backend, quarantined, known: cursors.known(depth, asked), since })
      took = performance.now() - asked
      return lanes
    }, (lanes) => ({ lanes: strangeOf(lanes) }))
    const readAt = this.#readAt = performance.now()
    cursors.looked(depth, took, readAt)
    cursors.saw(found, readAt, this.#turnsBack ? [] : strangeOf(found))
    this.#turnsBack = false
    this.#lookedAt = found.now
    const taken = withReturned(found).filter(({ queue }) => takes(queue))
    const late = limited.limitedQueues(taken.map(({ queue }) => queue))
    if (late.length > 0) await store.limitQueues(backend, late)
    const heads = taken.filter(({ queue }) => !late.includes(queue)).sort((a, b) => b.priority - a.priority || a.due - b.due)
    // A look that takes long is to take a small share of the time all the same.
    const until = readAt + Math.min(LANES_FRESH_MAX_MS, Math.max(LANES_FRESH_MS, LANES_FRESH_FACTOR * took))
    return { heads, depth, limited: found.limited === true || late.length > 0, quarantined, now: found.now, readAt, until }
  }
}
