import type { ClaimedRow, Store } from '../store/store.js'
import { BUFFER_ROWS_IN_TURN_MAX, BUFFER_ROWS_MAX } from '../core/limits.js'
import type { Claim } from './ledger.js'
import type { Session } from './session.js'

/** A claimed row that waits for a slot. */
export interface Entry {
  readonly row: ClaimedRow
  readonly claim: Claim
  /** Its place in the claim, from 0: it may start once the claim is marked beyond it. */
  readonly place: number
  readonly session: Session
  readonly since: number
}

const PASSED_MAX = 64 // places of entries that have left, before the others move up

/** What is claimed ahead, first in first out. Holds on to nothing that has left: under load it is never empty. */
export class Buffer {
  #entries: Array<Entry | undefined> = []
  #head = 0

  get length (): number {
    return this.#entries.length - this.#head
  }

  first (): Entry | undefined {
    return this.#entries[this.#head]
  }

  push (entry: Entry): void {
    this.#entries.push(entry)
  }

  shift (): Entry | undefined {
    const entry = this.#entries[this.#head]
    if (entry === undefined) return undefined
    this.#entries[this.#head] = undefined
    this.#head += 1
    if (this.#head === this.#entries.length || (this.#head >= PASSED_MAX && this.#head * 2 >= this.#entries.length)) {
      this.#entries.splice(0, this.#head)
      this.#head = 0
    }
    return entry
  }

  /** Take out those that the filter chooses. */
  take (choose: (entry: Entry) => boolean = () => true): Entry[] {
    const [taken, left]: [Entry[], Entry[]] = [[], []]
    for (let place = this.#head; place < this.#entries.length; place++) {
      const entry = this.#entries[place] as Entry
      (choose(entry) ? taken : left).push(entry)
    }
    if (taken.length > 0) {
      this.#entries = left
      this.#head = 0
    }
    return taken
  }
}

/** How many rows may be claimed ahead, at most. */
export function aheadOf ({ single }: Pick<Store, 'single'>): number {
  return single ? BUFFER_ROWS_IN_TURN_MAX : BUFFER_ROWS_MAX
}
