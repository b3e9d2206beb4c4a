import type { FastifyBaseLogger } from 'fastify'
import type { ClaimedRow, ClaimLimits, ClaimRequest, Lane, LaneHead, Lanes, LimitedClaim, Store } from '../store/store.js'
import { BATCH_RATE_WAIT_MS, LANES_FRESH_FACTOR, LANES_FRESH_MAX_MS, LANES_FRESH_MS, RETURNED_KEPT_MS } from '../core/limits.js'
import { Cursors, FROM_START, type Depth } from './cursors.js'
import { clockOf, isCut, topOf, withReturned, type KnownLanes } from './known-lanes.js'
import type { Claim } from './ledger.js'
import { Limited, type LimitedLook } from './limited.js'
import type { Outage } from './outage.js'
import type { Parking } from './parking.js'
import { jittered } from './pause.js'
import type { Session } from './session.js'

/** How many rows to claim now, and how many of them will start at once. */
export interface Room {
  readonly limit: number
  readonly start: number
}

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
const TIMER_MAX_MS = 2 ** 31 - 1
const LANES_MAX = 200 // in one claim; SQLite takes 500 terms in a compound SELECT
const SPARE_ROWS = 8 // of each of many lanes, beyond twice its share
const RETURNED_LATE_MS = 2_000 // what came back is written down at the end of its transaction, and seen once that has committed

/**
 * Decides when to look for rows, and claims them. It looks when there is room and something suggests that there are
 * rows: a wake-up, a lane that becomes due, the poll, or a last claim that was full.
 */
export class Claimer {
  readonly #settings: ClaimerSettings
  readonly #cursors = new Cursors()
  readonly #limited: Limited
  /** By the database's clock; null before the first look. */
  #lookedAt: number | null = null
  #readAt = 0
  /** Turn back for rows that are not for this worker, too. */
  #turnsBack = false
  /** As read last, while claims from them are full and it is not long ago. */
  #lanes: KnownLanes | null = null
  /** What the last look found of rows that have limits. */
  #limits: LimitedLook | null = null
  /** What may be claimed ahead of a free slot comes first: no row that has limits, and could be claimed, is before it. */
  #ahead = true
  /** The last look found nothing at all. */
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
    this.#limited = new Limited({ store, backend, tasks, parking, queues: queueLimits, takes: (queue) => this.#takes(queue) })
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
    if (room === null || session === null || (room.start < 1 && !this.#ahead)) return
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
    this.#turnsBack = true
  }

  /** This row, which was claimed, may be claimed again. */
  turnBack (row: ClaimedRow): void {
    this.#cursors.rewind(row)
    this.#lanes = null
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
    let claimed = this.#woken && this.#idle ? await this.#claimAny(session, room) : 0
    this.#woken = false
    const full = (found: Found): boolean => found.full || claimed >= room.limit
    if (claimed < room.limit && this.#lanes !== null) {
      const found = await this.#claimDown(session, this.#lanes, less(room, claimed), true)
      claimed += found.claimed
      if (this.#lanes !== null && performance.now() >= this.#lanes.until) this.#lanes = null
      if (full(found)) return { claimed, full: true, nextDue: Infinity, pressing: false }
    }
    if (claimed >= room.limit) return { claimed, full: true, nextDue: Infinity, pressing: false }
    let lanes = await this.#readLanes(this.#cursors.depth(performance.now()))
    const { generation } = this.#cursors
    let found = await this.#claimDown(session, lanes, less(room, claimed), false)
    claimed += found.claimed
    if (claimed === 0 && this.#settings.batch === true && lanes.depth !== FROM_START) {
      lanes = await this.#readLanes(FROM_START)
      found = await this.#claimDown(session, lanes, room, false)
      claimed += found.claimed
    }
    if (found.kept && !full(found)) {
      // What kept the claim may be rows with limits that were stored after the look.
      lanes = await this.#readLanes(0)
      if (lanes.limited) {
        found = await this.#claimDown(session, lanes, less(room, claimed), false)
        claimed += found.claimed
      }
    }
    this.#lanes = full(found) && generation === this.#cursors.generation ? lanes : null
    this.#idle = claimed === 0 && !lanes.limited
    const now = clockOf(lanes)
    const { nextIn, pressingIn } = this.#limits ?? { nextIn: Infinity, pressingIn: Infinity }
    const nextDue = Math.min(...lanes.heads.filter((lane) => lane.due > now).map((lane) => lane.due - now), nextIn)
    return { claimed, full: full(found), nextDue, pressing: pressingIn <= BATCH_RATE_WAIT_MS }
  }

  /** The lanes that there are, highest priority first; good for a while, as long as claims from them are full. */
  async #readLanes (depth: Depth): Promise<KnownLanes> {
    const { store, backend, parking } = this.#settings
    const quarantined = this.#settings.quarantined()
    // Nobody who has slept for so long knows what came back meanwhile.
    if (this.#lookedAt !== null && performance.now() - this.#readAt > RETURNED_KEPT_MS / 2) this.#cursors.forget()
    const since = this.#lookedAt === null ? null : this.#lookedAt - RETURNED_LATE_MS
    const strangeOf = ({ lanes, now }: Lanes): LaneHead[] => quarantined ? [] : parking.strange(lanes, now)
    let took = 0
    const found = await parking.cleared(async () => {
      const asked = performance.now()
      const lanes = await store.lanes({ backend, quarantined, known: this.#cursors.known(depth, asked), since })
      took = performance.now() - asked
      return lanes
    }, (lanes) => ({ lanes: strangeOf(lanes) }))
    const readAt = this.#readAt = performance.now()
    this.#cursors.looked(depth, took, readAt)
    this.#cursors.saw(found, readAt, this.#turnsBack ? [] : strangeOf(found))
    this.#turnsBack = false
    this.#lookedAt = found.now
    const taken = withReturned(found).filter(({ queue }) => this.#takes(queue))
    const late = this.#limited.limitedQueues(taken.map(({ queue }) => queue))
    if (late.length > 0) await store.limitQueues(backend, late)
    const heads = taken.filter(({ queue }) => !late.includes(queue)).sort((a, b) => b.priority - a.priority || a.due - b.due)
    // A look that takes long is to take a small share of the time all the same.
    const until = readAt + Math.min(LANES_FRESH_MAX_MS, Math.max(LANES_FRESH_MS, LANES_FRESH_FACTOR * took))
    return { heads, depth, limited: found.limited === true || late.length > 0, quarantined, now: found.now, readAt, until }
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
      const claimed = await this.#claimGroup(session, group, less(room, found.claimed), lanes)
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
    if (room.start < 1) return { claimed: 0, full: true, kept: false }
    const lanes = due.slice(0, LANES_MAX)
    let claimed = await this.#claimLimited(session, look, lanes, room.start)
    if (claimed < room.start && due.length > lanes.length) claimed += await this.#claimLanes(session, due.slice(LANES_MAX, 2 * LANES_MAX), less(room, claimed), look.quarantined, false)
    return { claimed, full: claimed >= room.start, kept: false }
  }

  async #claimGroup (session: Session, group: readonly LaneHead[], room: Room, lanes: KnownLanes): Promise<number> {
    let claimed = 0
    for (let first = 0; first < group.length && claimed < room.limit; first += LANES_MAX) {
      claimed += await this.#claimLanes(session, group.slice(first, first + LANES_MAX), less(room, claimed), lanes.quarantined, !lanes.limited)
    }
    return claimed
  }

  async #claimLanes (session: Session, group: readonly LaneHead[], room: Room, quarantined: boolean, unlessLimited: boolean): Promise<number> {
    // Of many lanes, not as many rows of each as are wanted of all.
    for (let claimed = 0; ;) {
      const left = less(room, claimed)
      const most = group.length === 1 ? undefined : Math.min(left.limit, SPARE_ROWS + Math.ceil(2 * left.limit / group.length))
      const rows = await this.#claim(session, this.#cursors.lanes(group), left, { quarantined, unlessLimited, ...(most !== undefined && { most }) })
      claimed += rows.length
      if (claimed >= room.limit || most === undefined || !isCut(rows, most)) return claimed
    }
  }

  async #claimAny (session: Session, room: Room): Promise<number> {
    const { queueName, excludeQueues, quarantined } = this.#settings
    const how = { quarantined: quarantined(), unlessLimited: true }
    // From the cursors where there are any; a lane that is new is found by the look that follows.
    const known: Lane[] = this.#cursors.known(0, performance.now()).filter(({ queue }) => this.#takes(queue) && this.#limited.limitedQueues([queue]).length === 0)
    if (known.length > 0 && known.length <= LANES_MAX) return (await this.#claim(session, known, room, how)).length
    return (await this.#claim(session, { only: queueName, except: this.#limited.without(excludeQueues) }, room, how)).length
  }

  async #claim (session: Session, lanes: ClaimRequest['lanes'], { limit, start }: Room, how: Pick<ClaimRequest, 'quarantined' | 'unlessLimited' | 'most'>): Promise<readonly ClaimedRow[]> {
    if (this.#stopped || session.lost) return []
    const { generation } = this.#cursors
    const { store, backend, tasks, onRows } = this.#settings
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

  async #claimLimited (session: Session, look: LimitedLook, group: readonly LaneHead[], limit: number): Promise<number> {
    if (this.#stopped || session.lost) return 0
    const number = session.ledger.ask()
    const { generation } = this.#cursors
    let found: LimitedClaim
    try {
      found = await look.claim(number, this.#cursors.lanes(group), limit)
    } catch (error) {
      session.ledger.lost(number)
      throw error
    }
    const { rows, unsure = false } = found
    if (rows.length > 0) this.#settings.onRows(session, session.ledger.arrived(number, rows.length, rows.length), rows)
    else if (unsure) session.ledger.lost(number)
    else session.ledger.empty(number)
    this.#passed(rows.filter(({ limited }) => limited !== true), generation)
    return rows.length
  }

  /** Where nothing dead is crawled over, each claim begins at the start of its lanes. */
  #passed (rows: readonly ClaimedRow[], generation: number): void {
    if (this.#settings.store.dialect !== 'sqlite' && generation === this.#cursors.generation) this.#cursors.took(rows, performance.now())
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

/** What is left of it once so many were claimed. */
function less ({ limit, start }: Room, claimed: number): Room {
  return { limit: limit - claimed, start: Math.max(0, start - claimed) }
}
