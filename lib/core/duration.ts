import ms from 'ms'
import { DURATION_MAX_MS } from './limits.js'
import type { Duration } from './task.js'

const DURATION = /^\d+(?:\.\d+)?\s?(?:ms|s|m|h|d|w)$/

/**
 * Milliseconds of a duration: a finite number of milliseconds, or a string such as `'250ms'`, `'90s'`, `'1.5h'`, `'2w'`.
 * Null where it is neither, negative, or longer than a hundred years.
 */
export function durationToMs (value: unknown): number | null {
  const parsed = typeof value === 'string' && DURATION.test(value) ? ms(value as ms.StringValue) : value
  if (typeof parsed !== 'number' || !Number.isFinite(parsed) || parsed < 0 || parsed > DURATION_MAX_MS) return null
  return Math.round(parsed)
}

/** As {@link durationToMs}, for a value that was checked before. */
export function milliseconds (value: Duration): number {
  const parsed = durationToMs(value)
  if (parsed === null) throw new TypeError('not a duration')
  return parsed
}

export const DURATION_RULE = "must be a number of milliseconds or a string with a unit of ms, s, m, h, d or w, such as '90s'"
