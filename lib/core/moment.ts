// A time without a zone is somebody's local one, and nobody's here.
const ISO = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2}))?$/

/** Epoch milliseconds of a Date or an ISO 8601 string, a date alone being its midnight in UTC; null for anything else. */
export function momentToMs (value: unknown): number | null {
  const ms = value instanceof Date ? value.getTime() : typeof value === 'string' && ISO.test(value) ? Date.parse(value) : NaN
  return Number.isNaN(ms) ? null : ms
}

export const MOMENT_RULE = "must be a Date or an ISO 8601 string with a time zone, such as '2026-11-20T08:00:00Z', or a date such as '2026-11-20'"
