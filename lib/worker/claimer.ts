import type { FastifyBaseLogger } from 'fastify'
import type { ClaimedRow, ClaimLimits, LaneHead, Store } from '../store/store.js'
import { BATCH_RATE_WAIT_MS } from '../core/limits.js'
import { Claims, LANES_MAX } from './claims.js'
import { Cursors, FROM_START } from './cursors.js'
import { clockOf, topOf, type KnownLanes } from './known-lanes.js'
import { LaneLook } from './lane-look.js'
import type { Claim } from './ledger.js'
import { Limited, type LimitedLook } from './limited.js'
import type { Outage } from './outage.js'
import type { Parking } from './parking.js'
import { jittered, TIMER_MAX_MS } from './pause.js'
import { less, type Room } from './room.js'
import type { Session } from './session.js'

export type { Room }

export interface ClaimerSettings {
  readonly store: Store
  readonly backend: string
  readonly queueName: readonly string[] | null
  readonly excludeQueues: readonly string[]
  /** Queues with limits across all workers. */
  readonly queueLimits?: ReadonlyMap<string, ClaimLimits>
  /** Milliseconds between two looks when nothing wakes the worker. */
  readonly interval: number
  /** Take quarantined rows, and no others. */
  readonly quarantined: () => boolean
  readonly tasks: () => readonly string[]
  readonly parking: Parking
  /** The worker ends when there is nothing more: that is said only of a look at everything. */
  readonly batch?: boolean
  readonly outage: Outage
  readonly log: FastifyBaseLogger
  /** Null where no claim may be made now. */
  readonly room: () => Room | null
  readonly session: () => Session | null
  readonly onRows: (session: Session, claim: Claim, rows: readonly ClaimedRow[]) => void
  /** A look found less than there was room for. `rows`: how many it did find. */
  readonly onDry: (rows: number) => void
}

const CLAIMING = 'ready tasks could not be claimed'

/**
 * Decides when to look for rows, and claims them. It looks when there is room and something suggests that there are
 * rows: a wake-up, a lane that becomes due, the poll, or a last claim that was full.
 */
export class Claimer {
  readonly #settings: ClaimerSettings
  readonly #cursors = new Cursors()
  readonly #limited: Limited
  readonly #laneLook: LaneLook
  readonly #claims: Claims
  /** As read last, while claims from them are full and it is not long ago. */
  #lanes: KnownLanes | null = null
  /** What the last look found of rows that have limits. */
  #limits: LimitedLook | null = null
  /** What may be claimed ahead of a free slot comes first: no row that has limits, and could be claimed, is before it. */
  #ahead = true
  /** The last look left nothing behind that is due. */
  #idle = false
  /** Something suggested that there are rows, and not just the poll. */
  #woken = false
  #timer: NodeJS.Timeout | null = null
  #busy: Promise<void> | null = null
  /** The last look found all there was; another is for something to suggest. */
  #dry = false
  #again = false
  #waiting = false
  #stopped = false

  constructor (settings: ClaimerSettings) {
    this.#settings = settings
    const { store, backend, tasks, parking, queueLimits = new Map() } = settings
    const cursors = this.#cursors
    const takes = (queue: string): boolean => this.#takes(queue)
    const limited = this.#limited = new Limited({ store, backend, tasks, parking, queues: queueLimits, takes })
    this.#laneLook = new LaneLook({ ...settings, cursors, limited, takes })
    this.#claims = new Claims({ ...settings, cursors, limited, stopped: () => this.#stopped })
  }

  /** Something suggests that there are rows. */
  wake (): void {
    this.#woken = true
    this.#lookAgain()
  }

  #lookAgain (): void {
    this.#dry = false
    if (this.#busy !== null) this.#again = true
    else this.look()
  }

  /** There may be room. */
  look (): void {
    if (this.#stopped || this.#dry || this.#waiting || this.#busy !== null) return
    const room = this.#settings.room()
    const session = this.#settings.session()
    if (room === null || session === null || (room.free < 1 && !this.#ahead)) return
    this.#busy = this.#run(session, room).finally(() => {
      this.#busy = null
      if (this.#again) this.#dry = false
      this.#again = false
      this.look()
    })
  }

  /** Claim from the start of each lane again: another kind of rows is taken now. */
  forgetCursors (): void {
    this.#cursors.forget()
    this.#lanes = null
  }

  /** Once more from the head of each lane, though it may be a row that is not for this worker. */
  turnAllBack (): void {
    this.#laneLook.turnAllBack()
  }

  /** This row, which was claimed, may be claimed again, in its place. No claim was begun since it was handed back. */
  turnBack (row: ClaimedRow): void {
    this.#cursors.rewind(row)
    this.#lanes = null
    this.#lookAgain()
  }

  /** Resolves when no claim is under way. */
  async stop (): Promise<void> {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#busy
  }

  async #run (session: Session, room: Room): Promise<void> {
    const { outage, interval, onDry } = this.#settings
    try {
      // What the store has of a claim whose answer was lost comes back first, or a batch would end without it.
      await session.returnUnsure()
      const { claimed, full, nextDue, pressing } = await this.#look(session, room)
      outage.over(CLAIMING)
      if (full) return
      this.#dry = true
      this.#wakeIn(Math.min(jittered(interval), nextDue))
      if (!pressing) onDry(claimed)
    } catch (error) {
      this.#waiting = true
      this.#wakeIn(outage.failed(error, CLAIMING))
    }
  }

  async #look (session: Session, room: Room): Promise<Look> {
    // An idle worker that is woken asks for whatever there is, in one round trip.
    const any = this.#woken && this.#idle
    this.#woken = false
    this.#idle = false
    let claimed = any ? await this.#claims.ofAny(session, room) : 0
    const full = (found: Found): boolean => found.full || claimed >= room.limit
    if (claimed < room.limit && this.#lanes !== null) {
      const found = await this.#claimDown(session, this.#lanes, less(room, claimed), true)
      claimed += found.claimed
      if (this.#lanes !== null && performance.now() >= this.#lanes.until) this.#lanes = null
      if (full(found)) return { claimed, full: true, nextDue: Infinity, pressing: false }
    }
    if (claimed >= room.limit) return { claimed, full: true, nextDue: Infinity, pressing: false }
    let lanes = await this.#laneLook.read(this.#cursors.depth(performance.now()))
    const { generation } = this.#cursors
    let found = await this.#claimDown(session, lanes, less(room, claimed), false)
    claimed += found.claimed
    if (claimed === 0 && this.#settings.batch === true && lanes.depth !== FROM_START) {
      lanes = await this.#laneLook.read(FROM_START)
      found = await this.#claimDown(session, lanes, room, false)
      claimed += found.claimed
    }
    if (found.kept && !full(found)) {
      // What kept the claim may be rows with limits that were stored after the look.
      lanes = await this.#laneLook.read(0)
      if (lanes.limited) {
        found = await this.#claimDown(session, lanes, less(room, claimed), false)
        claimed += found.claimed
      }
    }
    this.#lanes = full(found) && generation === this.#cursors.generation ? lanes : null
    this.#idle = !full(found) && !lanes.limited
    const now = clockOf(lanes)
    const { nextIn, pressingIn } = this.#limits ?? { nextIn: Infinity, pressingIn: Infinity }
    const nextDue = Math.min(...lanes.heads.filter((lane) => lane.due > now).map((lane) => lane.due - now), nextIn)
    return { claimed, full: full(found), nextDue, pressing: pressingIn <= BATCH_RATE_WAIT_MS }
  }

  /**
   * From the highest priority down. Lanes of one priority are claimed together, which merges them; and after a claim that
   * left room, twice as many priorities as before, so that many small ones do not take a round trip each. `known`: the
   * lanes are not fresh, so that a claim which comes back short ends it: there may be others by now.
   */
  async #claimDown (session: Session, lanes: KnownLanes, room: Room, known: boolean): Promise<Found> {
    const now = clockOf(lanes)
    const due = lanes.heads.filter((lane) => lane.due <= now)
    const look = this.#limits = lanes.limited ? await this.#limited.look(session, lanes.quarantined) : null
    this.#ahead = look === null || !look.open
    if (look?.open === true) return await this.#claimInOrder(session, look, due, room)
    const found = { claimed: 0, full: false, kept: false }
    for (let first = 0, together = 1; first < due.length && found.claimed < room.limit; together *= 2) {
      const group = topOf(due, first, together)
      const claimed = await this.#claims.ofGroup(session, group, less(room, found.claimed), lanes)
      found.claimed += claimed
      // Nothing of lanes that are due: others were quicker, or rows that have limits are there and come first.
      if (claimed === 0 && !lanes.limited) found.kept = true
      if (known && found.claimed < room.limit) break
      first += group.length
    }
    return found
  }

  /**
   * Rows that have limits and others, in one order, and as many as there are slots free: a row with limits is never
   * claimed ahead, because it would count against them, and so nothing behind it is.
   */
  async #claimInOrder (session: Session, look: LimitedLook, due: readonly LaneHead[], room: Room): Promise<Found> {
    if (room.free < 1) return { claimed: 0, full: true, kept: false }
    const lanes = due.slice(0, LANES_MAX)
    let claimed = await this.#claims.inOrder(session, look, lanes, room.free)
    if (claimed < room.free && due.length > lanes.length) claimed += await this.#claims.ofLanes(session, due.slice(LANES_MAX, 2 * LANES_MAX), less(room, claimed), look.quarantined, false)
    return { claimed, full: claimed >= room.free, kept: false }
  }

  #takes (queue: string): boolean {
    const { queueName, excludeQueues } = this.#settings
    return (queueName === null || queueName.includes(queue)) && !excludeQueues.includes(queue)
  }

  #wakeIn (milliseconds: number): void {
    if (this.#stopped) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#waiting = false
      this.#lookAgain()
    }, Math.min(milliseconds, TIMER_MAX_MS))
  }
}

/** What one pass over the lanes has come to. */
interface Found {
  readonly claimed: number
  /** There may be more: it ended for want of room. */
  readonly full: boolean
  /** Lanes that are due gave nothing. */
  readonly kept: boolean
}

interface Look extends Pick<Found, 'claimed' | 'full'> {
  readonly nextDue: number
  readonly pressing: boolean
}
