/** The lowest UUIDv7 of a moment (RFC 9562, 5.7: 48 bits of epoch milliseconds first). */
export function firstIdOf (ms: number): string {
  const hex = Math.max(0, Math.min(Math.floor(ms), 2 ** 48 - 1)).toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}

/** Ids carry the clock of the host that made them; it may be this much off the database's. */
export const CLOCK_SKEW_MS = 24 * 3_600_000
