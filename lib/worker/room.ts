/** How many rows to claim now. */
export interface Room {
  readonly limit: number
  /** So many of them are marked as started: those that start at once, and those that follow within a stride. */
  readonly start: number
  /** So many slots are free: rows that have limits are claimed for these only, since from then on they count against them. */
  readonly free: number
}

/** What is left of it once so many were claimed. */
export function less ({ limit, start, free }: Room, claimed: number): Room {
  return { limit: limit - claimed, start: Math.max(0, start - claimed), free: Math.max(0, free - claimed) }
}
