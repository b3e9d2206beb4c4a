import type { Entry } from './ledger.ts'

export interface LimitRules {
  readonly rates: ReadonlyMap<string, { readonly max: number, readonly every: number }>
  /** Milliseconds from the death of a process until a key that it held has its next attempt, while one worker is up. */
  readonly resumeMs: number
}

interface Attempt {
  readonly id: string
  readonly key: string
  /** How many may be alive under the key while this one is. */
  readonly limit: number
  /** Where it stands in the order of its key; null for anywhere. */
  readonly place: number | null
  readonly from: number
  readonly to: number
  /** It ended with its process. */
  readonly died: boolean
}

/**
 * What is wrong with what the ledgers of some processes tell about attempts under keys and rates. Sentences; empty where
 * all is well. `kill` entries name the process (`of`) that was killed, or stopped for good, with those that it had
 * started; `up` and `down` a worker that was ready, and was told to stop.
 */
export function checkLimits (entries: readonly Entry[], { rates, resumeMs }: LimitRules): string[] {
  const attempts = attemptsOf(entries)
  const workers = workersOf(entries)
  const byKey = new Map<string, Attempt[]>()
  for (const attempt of attempts) byKey.set(attempt.key, [...byKey.get(attempt.key) ?? [], attempt])
  return [
    ...[...byKey].flatMap(([key, all]) => [...tooMany(key, all), ...disorder(key, all), ...stuck(key, all, workers, resumeMs)]),
    ...[...rates].flatMap(([name, rate]) => tooOften(name, entries.filter(({ what, rate: of }) => what === 'start' && of === name), rate))
  ]
}

function attemptsOf (entries: readonly Entry[]): Attempt[] {
  const killedAt = new Map<number, number>()
  const parents = new Map(entries.filter(({ what }) => what === 'boot').map(({ pid, ppid }) => [pid, ppid as number]))
  for (const { what, of, at } of entries) if (what === 'kill') killedAt.set(of as number, at)
  const ends = new Map(entries.filter(({ what }) => what === 'end').map(({ pid, id, attempt, at }) => [`${pid} ${id as string} ${attempt as number}`, at]))
  return entries.filter(({ what, key }) => what === 'start' && key !== undefined).map((entry) => {
    const { pid, id, attempt, at, key, limit, place } = entry as Entry & Pick<Attempt, 'id' | 'key' | 'limit' | 'place'> & { attempt: number }
    const end = ends.get(`${pid} ${id} ${attempt}`)
    const death = killedAt.get(pid) ?? killedAt.get(parents.get(pid) ?? -1)
    return { id, key, limit, place, from: at, to: end ?? death ?? Infinity, died: end === undefined && death !== undefined }
  })
}

/** Never more alive than the smallest limit among them. */
function tooMany (key: string, attempts: readonly Attempt[]): string[] {
  return attempts.flatMap((attempt) => {
    const alive = attempts.filter(({ from, to }) => from <= attempt.from && to > attempt.from)
    const limit = Math.min(...alive.map(({ limit }) => limit))
    return alive.length > limit ? [`${alive.length} alive under ${key}, where ${limit} may be`] : []
  })
}

/** In the order of their places; one that is tried again comes before those behind it. */
function disorder (key: string, attempts: readonly Attempt[]): string[] {
  const placed = attempts.filter(({ place }) => place !== null).sort((a, b) => a.from - b.from)
  return placed.slice(1).flatMap(({ place }, index) => (place as number) < (placed[index]?.place as number) ? [`${key}: place ${place as number} after ${placed[index]?.place as number}`] : [])
}

interface Span { readonly from: number, readonly to: number }

/** When there was a worker that could have taken something over. */
function workersOf (entries: readonly Entry[]): Span[] {
  return entries.filter(({ what }) => what === 'up').map(({ at, of }) => ({
    from: at,
    to: Math.min(...entries.filter(({ what, of: whose }) => whose === of && (what === 'down' || what === 'kill')).map(({ at }) => at))
  }))
}

/** At its first death: from the second on a task waits for a process of its own to come up. */
function stuck (key: string, attempts: readonly Attempt[], workers: readonly Span[], resumeMs: number): string[] {
  const firstDeath = (attempt: Attempt): boolean => attempt.died && !attempts.some(({ id, died, to }) => died && id === attempt.id && to < attempt.to)
  return attempts.filter(firstDeath).flatMap(({ id, to }) => {
    const next = Math.min(...attempts.filter(({ from }) => from > to).map(({ from }) => from))
    const looking = Math.max(...workers.map((worker) => Math.min(next, worker.to) - Math.max(to, worker.from)))
    return looking > resumeMs && Number.isFinite(next) ? [`${key}: nothing for ${Math.round(looking)} ms of a worker after the death of ${id}`] : []
  })
}

/** Never more claimed than allowed in any time of that length, by the database's clock. */
function tooOften (name: string, starts: readonly Entry[], { max, every }: { max: number, every: number }): string[] {
  const claimed = starts.map((entry) => entry['claimed'] as number).sort((a, b) => a - b)
  return claimed.slice(max).flatMap((at, index) => at - (claimed[index] as number) < every ? [`${name}: ${max + 1} within ${at - (claimed[index] as number)} ms`] : [])
}
