import { RATE_AHEAD_MAX_MS, RATE_MARGIN_MS, RATE_MARGIN_SHARE, RATE_STAMPS_MAX } from './limits.js'

/** At most `max` starts in any time of `every` milliseconds. */
export interface RateRule {
  readonly max: number
  readonly every: number
}

/** The starts that a rate limit remembers, oldest first, as `[moment, how many]`; moments by the database's clock. */
export interface RateLog {
  /** Milliseconds that starts are remembered for: the longest rule that was seen. */
  readonly span: number
  readonly starts: ReadonlyArray<readonly [at: number, count: number]>
}

const EMPTY: RateLog = Object.freeze({ span: 0, starts: Object.freeze([]) })

export function parseRateLog (text: string | null | undefined): RateLog {
  return text === null || text === undefined ? EMPTY : JSON.parse(text) as RateLog
}

/** How many may start now, and in how many milliseconds the next may, where none may now. */
export function freeOf (log: RateLog, now: number, { max, every: asked }: RateRule): { free: number, nextIn: number } {
  const every = lengthOf(asked)
  const within = log.starts.filter(([at]) => at > now - every && at <= now + aheadOf(every))
  let excess = within.reduce((sum, [, count]) => sum + count, 0) - max
  if (excess < 0) return { free: -excess, nextIn: 0 }
  for (const [at, count] of within) {
    excess -= count
    if (excess < 0) return { free: 0, nextIn: at + every - now }
  }
  return { free: 0, nextIn: every }
}

/**
 * The log with starts added. A log never grows beyond a few hundred entries: what lies close together is taken for as
 * late as the last of it, so that a limit may be kept a little too well, and never too little.
 *
 * @param added - when they are; ahead of now where they are slow to come
 */
export function withStarts (log: RateLog, now: number, count: number, every: number, added = now): RateLog {
  const span = Math.max(log.span, lengthOf(every))
  const width = span / RATE_STAMPS_MAX
  const starts: Array<[number, number]> = []
  for (const [at, number] of [...log.starts, [added, count] as const].sort(([a], [b]) => a - b)) {
    if (at <= now - span || at > now + aheadOf(span)) continue
    const last = starts.at(-1)
    const bucket = Math.floor(at / width)
    if (last !== undefined && Math.floor(last[0] / width) === bucket) starts[starts.length - 1] = [at, last[1] + number]
    else starts.push([at, number])
  }
  return { span, starts }
}

/** The log where so many of the starts from a moment on turn out to be at a later one, which may be ahead of now. */
export function withLaterStarts (log: RateLog, now: number, count: number, every: number, { from, to }: { readonly from: number, readonly to: number }): RateLog {
  let left = count
  const starts = log.starts.flatMap(([at, number]): Array<readonly [number, number]> => {
    const moved = at < from ? 0 : Math.min(number, left)
    left -= moved
    return moved === number ? [] : [[at, number - moved]]
  })
  return withStarts({ ...log, starts }, now, count, every, to)
}

/** How much longer than asked for a start counts, because an attempt begins a moment after it was claimed. */
export function marginOf (every: number): number {
  return Math.min(RATE_MARGIN_MS, every * RATE_MARGIN_SHARE)
}

/**
 * How far ahead of now a start may lie: one that is slow to come is counted ahead of it. What lies further ahead is of a
 * clock that was set back since, and would hold the rate back until then.
 */
function aheadOf (length: number): number {
  return Math.max(length, RATE_AHEAD_MAX_MS)
}

function lengthOf (every: number): number {
  return every + marginOf(every)
}
