import type { ClaimedRow, Cursor, Lane, LaneHead, Lanes } from '../store/store.js'
import { LOOK_BEHIND_FACTOR } from '../core/limits.js'

/** How far behind its cursors a look begins: 0 at them, 1 and 2 where they were half a second and five seconds ago, 3 at the start of every lane. */
export type Depth = 0 | 1 | 2 | 3
export const FROM_START = 3

const AGES_MS = [500, 5_000] as const
const SETTLED_MS = 1_000 // what is due by this much before now was committed by now, but for a late one
const WHOLE_QUICK_MS = 20
const BEFORE_ALL: Cursor = { due: -1, tie: -1 }

/**
 * The places up to which a worker has seen each lane empty. Claims and looks begin there, so that they do not crawl over
 * dead index entries, however many of these an old snapshot keeps. What lies behind a cursor all the same (a transaction
 * that committed late, a claim of somebody else's that was rolled back) is found by looks that begin further back: the
 * further, the more they cost, and so the rarer they are.
 */
export class Cursors {
  readonly #places = new Map<string, Place>()
  /** By depth: when a look of it may be made again. */
  readonly #affordable = [0, 0, 0, 0]
  /** What the last look from the start of every lane took, in ms. */
  #wholeTook = 0
  /** Of what a claim that began before this number grew has seen, nothing counts. */
  #generation = 0

  get generation (): number {
    return this.#generation
  }

  /** The furthest that a look may begin behind, so that looking behind takes a small share of the time. */
  depth (now: number): Depth {
    return ([FROM_START, 2, 1] as const).find((depth) => now >= (this.#affordable[depth] ?? 0)) ?? 0
  }

  /** True where all lanes can be looked through from their start at any time: few dead rows are in the way. */
  get wholeIsQuick (): boolean {
    return this.#wholeTook < WHOLE_QUICK_MS
  }

  /** A look of this depth was made, in so many milliseconds. */
  looked (depth: Depth, took: number, now: number): void {
    if (depth === FROM_START) this.#wholeTook = took
    this.#affordable[depth] = now + LOOK_BEHIND_FACTOR * took
  }

  /** Each lane that was seen, from where a look of this depth begins; none for all from their start. */
  known (depth: Depth, now: number): Lane[] {
    if (depth === FROM_START) return []
    return [...this.#places.values()].map((place) => ({ queue: place.queue, priority: place.priority, after: behind(place, depth, now) }))
  }

  /** The lanes as a claim names them. */
  lanes (group: readonly LaneHead[]): Lane[] {
    return group.map((lane) => ({ queue: lane.queue, priority: lane.priority, after: this.#places.get(keyOf(lane))?.at ?? null }))
  }

  /**
   * What a look has seen: nothing before the first row of each lane, and nothing at all in the others. Lanes in `except`
   * begin with a row that is not for this worker: claims are not made to turn back for it.
   */
  saw ({ lanes, paused = [], returned = [], now }: Lanes, at: number, except: readonly LaneHead[] = []): void {
    const settled = { due: now - SETTLED_MS, tie: -1 }
    const empty = new Set(this.#places.keys())
    for (const head of [...lanes, ...paused]) {
      empty.delete(keyOf(head))
      if (head.tie === undefined || except.includes(head)) continue
      const before = { due: head.due, tie: head.tie - 1 }
      this.#place(head, earlier(before, settled), at).rewind(before)
    }
    for (const key of empty) this.#places.get(key)?.advance(settled)
    for (const { queue, priority, due } of returned) this.rewind({ queue, priority, cursor: { due, tie: 0 } })
  }

  /** These rows were claimed, in their order, and so was whatever came before them in their lanes. */
  took (rows: readonly ClaimedRow[], at: number): void {
    // Of those of one lane in a row the first tells where it was begun, and the last how far it has come.
    for (const [index, row] of rows.entries()) {
      if (!isOfLane(row, rows[index - 1]) || !isOfLane(row, rows[index + 1])) this.#place(row, row.cursor, at)
    }
  }

  /** This row may be claimed again. */
  rewind (row: { queue: string, priority: number, cursor: Cursor }): void {
    this.#generation += 1
    this.#places.get(keyOf(row))?.rewind({ due: row.cursor.due, tie: row.cursor.tie - 1 })
  }

  forget (): void {
    this.#generation += 1
    this.#places.clear()
    this.#affordable.fill(0)
  }

  #place (lane: { queue: string, priority: number }, cursor: Cursor, at: number): Place {
    const key = keyOf(lane)
    let place = this.#places.get(key)
    if (place === undefined) this.#places.set(key, place = new Place(lane.queue, lane.priority, cursor, at))
    else place.advance(cursor)
    return place
  }
}

function isOfLane (lane: { queue: string, priority: number }, row: ClaimedRow | undefined): boolean {
  return row !== undefined && row.queue === lane.queue && row.priority === lane.priority
}

class Place {
  readonly queue: string
  readonly priority: number
  at: Cursor
  /** Where the cursor was: `older` at least that long ago, and at most twice. */
  readonly marks: Array<{ older: Cursor, newer: Cursor, since: number }>

  constructor (queue: string, priority: number, at: Cursor, since: number) {
    this.queue = queue
    this.priority = priority
    this.at = at
    this.marks = AGES_MS.map(() => ({ older: at, newer: at, since }))
  }

  advance (cursor: Cursor): void {
    if (earlier(this.at, cursor) === this.at) this.at = cursor
  }

  rewind (cursor: Cursor): void {
    this.at = earlier(this.at, cursor)
  }
}

function behind (place: Place, depth: Depth, now: number): Cursor {
  for (const [index, age] of AGES_MS.entries()) {
    const mark = place.marks[index]
    if (mark === undefined || now - mark.since < age) continue
    mark.older = mark.newer
    mark.newer = place.at
    mark.since = now
  }
  return depth === 0 ? place.at : earlier(place.at, place.marks[depth - 1]?.older ?? BEFORE_ALL)
}

function earlier (a: Cursor, b: Cursor): Cursor {
  return a.due < b.due || (a.due === b.due && a.tie <= b.tie) ? a : b
}

export function keyOf ({ queue, priority }: { queue: string, priority: number } | LaneHead): string {
  return `${priority} ${queue}`
}
