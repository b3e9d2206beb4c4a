import type { FastifyBaseLogger } from 'fastify'
import type { ClaimedRow, ClaimLimits, ClaimRequest, Cursor, LaneHead, Store } from '../store/store.js'
import { BATCH_RATE_WAIT_MS, LANES_FRESH_FACTOR, LANES_FRESH_MAX_MS, LANES_FRESH_MS } from '../core/limits.js'
import type { Claim } from './ledger.js'
import { Limited, type LimitedLook } from './limited.js'
import type { Outage } from './outage.js'
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

/**
 * Decides when to look for rows, and claims them. It looks when there is room and something suggests that there are
 * rows: a wake-up, a lane that becomes due, the poll, or a last claim that was full.
 */
export class Claimer {
  readonly #settings: ClaimerSettings
  readonly #cursors = new Map<string, Cursor>()
  readonly #limited: Limited
  /** Of what a claim that began before this number grew has seen, nothing counts. */
  #generation = 0
  /** As read last, while claims from them are full and it is not long ago. */
  #lanes: KnownLanes | null = null
  /** What the last look found of rows that have limits. */
  #limits: LimitedLook | null = null
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
    const { store, backend, tasks, queueLimits = new Map() } = settings
    this.#limited = new Limited({ store, backend, tasks, queues: queueLimits, takes: (queue) => this.#takes(queue) })
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
    if (room === null || session === null) return
    this.#busy = this.#run(session, room).finally(() => {
      this.#busy = null
      if (this.#again) this.#dry = false
      this.#again = false
      this.look()
    })
  }

  /** Claim from the start of each lane again: what a cursor could have missed is found. */
  forgetCursors (): void {
    this.#generation += 1
    this.#cursors.clear()
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
      const { claimed, nextDue, pressing } = await this.#look(session, room)
      outage.over(CLAIMING)
      if (claimed >= room.limit) return
      this.#dry = true
      this.#wakeIn(Math.min(jittered(interval), nextDue))
      if (!pressing) onDry(claimed)
    } catch (error) {
      this.#waiting = true
      this.#wakeIn(outage.failed(error, CLAIMING))
    }
  }

  async #look (session: Session, room: Room): Promise<{ claimed: number, nextDue: number, pressing: boolean }> {
    // An idle worker that is woken asks for whatever there is, in one round trip.
    let claimed = this.#woken && this.#idle ? await this.#claimAny(session, room) : 0
    this.#woken = false
    if (claimed < room.limit && this.#lanes !== null) claimed += await this.#claimDown(session, this.#lanes, less(room, claimed))
    if (claimed >= room.limit) return { claimed, nextDue: Infinity, pressing: false }
    const generation = this.#generation
    const lanes = await this.#readLanes()
    claimed += await this.#claimDown(session, lanes, less(room, claimed))
    this.#lanes = claimed >= room.limit && generation === this.#generation ? lanes : null
    this.#idle = claimed === 0 && !lanes.limited
    const now = clockOf(lanes)
    const { nextIn, pressingIn } = this.#limits ?? { nextIn: Infinity, pressingIn: Infinity }
    const nextDue = Math.min(...lanes.heads.filter((lane) => lane.due > now).map((lane) => lane.due - now), nextIn)
    return { claimed, nextDue, pressing: pressingIn <= BATCH_RATE_WAIT_MS }
  }

  /** The lanes that there are, highest priority first; good for a while, as long as claims from them are full. */
  async #readLanes (): Promise<KnownLanes> {
    const { store, backend } = this.#settings
    const quarantined = this.#settings.quarantined()
    const began = performance.now()
    const { lanes, now, limited = false } = await store.lanes({ backend, quarantined })
    const readAt = performance.now()
    const taken = lanes.filter(({ queue }) => this.#takes(queue))
    const late = this.#limited.limitedQueues(taken.map(({ queue }) => queue))
    if (late.length > 0) await store.limitQueues(backend, late)
    const heads = taken.filter(({ queue }) => !late.includes(queue)).sort((a, b) => b.priority - a.priority || a.due - b.due)
    // Behind an old snapshot this look crawls over dead rows: it is to take a small share of the time, however long it takes.
    return { heads, limited: limited || late.length > 0, quarantined, now, readAt, until: readAt + Math.min(LANES_FRESH_MAX_MS, Math.max(LANES_FRESH_MS, LANES_FRESH_FACTOR * (readAt - began))) }
  }

  /** From the highest priority down; lanes of equal priority in one claim, which merges them. */
  async #claimDown (session: Session, lanes: KnownLanes, room: Room): Promise<number> {
    const now = clockOf(lanes)
    const due = lanes.heads.filter((lane) => lane.due <= now)
    const look = this.#limits = lanes.limited ? await this.#limited.look(session, lanes.quarantined) : null
    let claimed = 0
    for (let first = 0; first < due.length && claimed < room.limit;) {
      const { priority } = due[first] as LaneHead
      const group = due.filter((lane) => lane.priority === priority)
      if (look !== null) claimed += await this.#claimLimited(session, look, { priority, due: Math.min(...group.map((lane) => lane.due)) }, room.start - claimed)
      if (claimed >= room.limit) break
      claimed += await this.#claimGroup(session, group, less(room, claimed), lanes.quarantined)
      first += group.length
    }
    if (look !== null) claimed += await this.#claimLimited(session, look, null, room.start - claimed)
    if (performance.now() >= lanes.until) this.#lanes = null
    return claimed
  }

  async #claimGroup (session: Session, group: readonly LaneHead[], room: Room, quarantined: boolean): Promise<number> {
    let claimed = 0
    for (let first = 0; first < group.length && claimed < room.limit; first += LANES_MAX) {
      claimed += await this.#claimMerged(session, group.slice(first, first + LANES_MAX), less(room, claimed), quarantined)
    }
    return claimed
  }

  async #claimMerged (session: Session, group: readonly LaneHead[], room: Room, quarantined: boolean): Promise<number> {
    const moved = group.some((lane) => this.#cursors.has(keyOf(lane)))
    const claimed = await this.#claimLanes(session, group, room, quarantined)
    if (claimed >= room.limit || !moved) return claimed
    // Short of what was asked: once more from the start, before rows of a lower priority are taken.
    return claimed + await this.#claimLanes(session, group, less(room, claimed), quarantined)
  }

  async #claimLanes (session: Session, group: readonly LaneHead[], room: Room, quarantined: boolean): Promise<number> {
    const lanes = group.map((lane) => ({ queue: lane.queue, priority: lane.priority, after: this.#cursors.get(keyOf(lane)) ?? null }))
    const generation = this.#generation
    const rows = await this.#claim(session, lanes, room, quarantined)
    // A full claim has seen its lanes up to the last row it took of each; a short one will look from the start again.
    if (rows.length === room.limit && generation === this.#generation) for (const row of rows) this.#cursors.set(keyOf(row), row.cursor)
    else for (const lane of group) this.#cursors.delete(keyOf(lane))
    return rows.length
  }

  async #claimAny (session: Session, room: Room): Promise<number> {
    const { queueName, excludeQueues, quarantined } = this.#settings
    return (await this.#claim(session, { only: queueName, except: this.#limited.without(excludeQueues) }, room, quarantined())).length
  }

  async #claim (session: Session, lanes: ClaimRequest['lanes'], { limit, start }: Room, quarantined: boolean): Promise<readonly ClaimedRow[]> {
    if (this.#stopped || session.lost) return []
    const { store, backend, tasks, onRows } = this.#settings
    const number = session.ledger.ask()
    let rows: ClaimedRow[]
    try {
      rows = await store.claim({ worker: session.id, claim: number, backend, lanes, limit, start, tasks: tasks(), quarantined })
    } catch (error) {
      session.ledger.lost(number)
      throw error
    }
    if (rows.length > 0) onRows(session, session.ledger.arrived(number, rows.length, start), rows)
    else session.ledger.empty(number)
    return rows
  }

  /** Rows with limits are never claimed ahead: what is buffered would count against them. */
  async #claimLimited (session: Session, look: LimitedLook, before: { priority: number, due: number } | null, limit: number): Promise<number> {
    if (this.#stopped || session.lost || limit < 1 || look.headsBefore(before).length === 0) return 0
    const number = session.ledger.ask()
    let rows: ClaimedRow[]
    try {
      rows = await look.claim(number, before, limit)
    } catch (error) {
      session.ledger.lost(number)
      throw error
    }
    if (rows.length > 0) this.#settings.onRows(session, session.ledger.arrived(number, rows.length, rows.length), rows)
    else session.ledger.lost(number)
    return rows.length
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

interface KnownLanes {
  readonly heads: readonly LaneHead[]
  /** There are rows that have limits. */
  readonly limited: boolean
  readonly quarantined: boolean
  /** The database's clock at `readAt`. */
  readonly now: number
  readonly readAt: number
  readonly until: number
}

/** The database's clock now. */
function clockOf ({ now, readAt }: KnownLanes): number {
  return now + performance.now() - readAt
}

/** What is left of it once so many were claimed. */
function less ({ limit, start }: Room, claimed: number): Room {
  return { limit: limit - claimed, start: Math.max(0, start - claimed) }
}

function keyOf ({ queue, priority }: { queue: string, priority: number }): string {
  return `${priority} ${queue}`
}
