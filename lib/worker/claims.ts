import type { ClaimedRow, ClaimRequest, LaneHead, LimitedClaim, Store } from '../store/store.js'
import type { Cursors } from './cursors.js'
import { isCut, type KnownLanes } from './known-lanes.js'
import type { Claim } from './ledger.js'
import type { Limited, LimitedLook } from './limited.js'
import { less, type Room } from './room.js'
import type { Session } from './session.js'

export interface ClaimsSettings {
  readonly store: Store
  readonly backend: string
  readonly queueName: readonly string[] | null
  readonly excludeQueues: readonly string[]
  readonly quarantined: () => boolean
  readonly tasks: () => readonly string[]
  readonly cursors: Cursors
  readonly limited: Limited
  readonly stopped: () => boolean
  readonly onRows: (session: Session, claim: Claim, rows: readonly ClaimedRow[]) => void
}

export const LANES_MAX = 200 // in one claim; SQLite takes 500 terms in a compound SELECT
const SPARE_ROWS = 8 // of each of many lanes, beyond twice its share

type How = Pick<ClaimRequest, 'quarantined' | 'unlessLimited' | 'most'>

/** Asks the store for rows: each claim has a number in the ledger of its session, and moves the cursors. Answers how many came. */
export class Claims {
  readonly #settings: ClaimsSettings

  constructor (settings: ClaimsSettings) {
    this.#settings = settings
  }

  async ofGroup (session: Session, group: readonly LaneHead[], room: Room, lanes: KnownLanes): Promise<number> {
    let claimed = 0
    for (let first = 0; first < group.length && claimed < room.limit; first += LANES_MAX) {
      claimed += await this.ofLanes(session, group.slice(first, first + LANES_MAX), less(room, claimed), lanes.quarantined, !lanes.limited)
    }
    return claimed
  }

  /** Of `LANES_MAX` lanes at most. */
  async ofLanes (session: Session, group: readonly LaneHead[], room: Room, quarantined: boolean, unlessLimited: boolean): Promise<number> {
    // Of many lanes, not as many rows of each as are wanted of all.
    for (let claimed = 0; ;) {
      const left = less(room, claimed)
      const most = group.length === 1 ? undefined : Math.min(left.limit, SPARE_ROWS + Math.ceil(2 * left.limit / group.length))
      const rows = await this.#claim(session, this.#settings.cursors.lanes(group), left, { quarantined, unlessLimited, ...(most !== undefined && { most }) })
      claimed += rows.length
      if (claimed >= room.limit || most === undefined || !isCut(rows, most)) return claimed
    }
  }

  /**
   * Of whatever there is, in one round trip: from the start of every lane, since one may be new and come first. None where
   * dead rows make that long (or the machine is slow): the look that follows finds new lanes between the known ones.
   */
  async ofAny (session: Session, room: Room): Promise<number> {
    const { queueName, excludeQueues, quarantined, cursors, limited } = this.#settings
    if (!cursors.wholeIsQuick) return 0
    return (await this.#claim(session, { only: queueName, except: limited.without(excludeQueues) }, room, { quarantined: quarantined(), unlessLimited: true })).length
  }

  /** Of rows that have limits, and of these lanes in their turn. */
  async inOrder (session: Session, look: LimitedLook, group: readonly LaneHead[], limit: number): Promise<number> {
    const { cursors, stopped, onRows } = this.#settings
    if (stopped() || session.lost) return 0
    const number = session.ledger.ask()
    const { generation } = cursors
    let found: LimitedClaim
    try {
      found = await look.claim(number, cursors.lanes(group), limit)
    } catch (error) {
      session.ledger.lost(number)
      throw error
    }
    const { rows, unsure = false } = found
    if (rows.length > 0) onRows(session, session.ledger.arrived(number, rows.length, rows.length), rows)
    else if (unsure) session.ledger.lost(number)
    else session.ledger.empty(number)
    this.#passed(rows.filter(({ limited }) => limited !== true), generation)
    return rows.length
  }

  async #claim (session: Session, lanes: ClaimRequest['lanes'], { limit, start }: Room, how: How): Promise<readonly ClaimedRow[]> {
    const { store, backend, tasks, cursors, stopped, onRows } = this.#settings
    if (stopped() || session.lost) return []
    const { generation } = cursors
    const number = session.ledger.ask()
    let rows: ClaimedRow[]
    try {
      rows = await store.claim({ worker: session.id, claim: number, backend, lanes, limit, start, tasks: tasks(), ...how })
    } catch (error) {
      session.ledger.lost(number)
      throw error
    }
    if (rows.length > 0) onRows(session, session.ledger.arrived(number, rows.length, start), rows)
    else session.ledger.empty(number)
    this.#passed(rows, generation)
    return rows
  }

  /** Where nothing dead is crawled over, each claim begins at the start of its lanes. */
  #passed (rows: readonly ClaimedRow[], generation: number): void {
    const { store, cursors } = this.#settings
    if (store.dialect !== 'sqlite' && generation === cursors.generation) cursors.took(rows, performance.now())
  }
}
