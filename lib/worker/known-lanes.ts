import type { ClaimedRow, LaneHead, Lanes } from '../store/store.js'
import { keyOf, type Depth } from './cursors.js'

/** The lanes as a worker has seen them last. */
export interface KnownLanes {
  readonly heads: readonly LaneHead[]
  /** How far behind the cursors they were looked for. */
  readonly depth: Depth
  /** There are rows that have limits. */
  readonly limited: boolean
  readonly quarantined: boolean
  /** The database's clock at `readAt`. */
  readonly now: number
  readonly readAt: number
  readonly until: number
}

/** The database's clock now. */
export function clockOf ({ now, readAt }: KnownLanes): number {
  return now + performance.now() - readAt
}

/** The lanes of the next so many priorities. */
export function topOf (lanes: readonly LaneHead[], first: number, priorities: number): LaneHead[] {
  const chosen = new Set<number>()
  const group: LaneHead[] = []
  for (const lane of lanes.slice(first)) {
    if (chosen.size === priorities && !chosen.has(lane.priority)) break
    chosen.add(lane.priority)
    group.push(lane)
  }
  return group
}

/** A lane gave as many rows as it might: there may be more. */
export function isCut (rows: readonly ClaimedRow[], most: number): boolean {
  const counts = new Map<string, number>()
  for (const row of rows) {
    const key = keyOf(row)
    const count = (counts.get(key) ?? 0) + 1
    if (count >= most) return true
    counts.set(key, count)
  }
  return false
}

/** Where a row came back there is one, though a look from the cursors may not have met it. */
export function withReturned ({ lanes, returned = [] }: Lanes): LaneHead[] {
  const heads = new Map(lanes.map((lane) => [keyOf(lane), lane]))
  for (const lane of returned) if (lane.due < (heads.get(keyOf(lane))?.due ?? Infinity)) heads.set(keyOf(lane), lane)
  return [...heads.values()]
}
