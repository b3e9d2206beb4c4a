import type { ClaimedRow } from '../store/store.js'
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

/** What is claimed ahead, first in first out. */
export class Buffer {
  #entries: Entry[] = []
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
    this.#head += 1
    if (this.#head === this.#entries.length) {
      this.#entries = []
      this.#head = 0
    }
    return entry
  }

  /** Take out those that the filter chooses. */
  take (choose: (entry: Entry) => boolean = () => true): Entry[] {
    const waiting = this.#entries.slice(this.#head)
    const taken = waiting.filter(choose)
    if (taken.length > 0) {
      this.#entries = waiting.filter((entry) => !taken.includes(entry))
      this.#head = 0
    }
    return taken
  }
}
