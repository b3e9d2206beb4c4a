/** How many rows to claim now, and how many of them will start at once. */
export interface Room {
  readonly limit: number
  readonly start: number
}

/** What is left of it once so many were claimed. */
export function less ({ limit, start }: Room, claimed: number): Room {
  return { limit: limit - claimed, start: Math.max(0, start - claimed) }
}
