import type { Entry } from './ledger.ts'

/** A row of the database when all is over. Moments are epoch milliseconds by the database's clock. */
export interface FinalRow {
  readonly id: string
  readonly task: string
  readonly status: string
  readonly args: string
  readonly runAfter: number | null
  readonly enqueuedAt: number
  readonly startedAt: number | null
  readonly lastAttemptedAt: number | null
  readonly finishedAt: number | null
  readonly attempts: number
  readonly errors: ReadonlyArray<{ readonly code: string | null, readonly attempt: number }>
  readonly returnValue: string | null
}

export interface History {
  /** Of all processes, by time. */
  readonly entries: readonly Entry[]
  readonly rows: readonly FinalRow[]
  /** Deaths after which a task is FAILED. */
  readonly crashBudget: number
  /** How long code may go on after its process was stopped and continued, in milliseconds. */
  readonly resumeMs: number
  /** How long after SIGTERM an attempt may still be seen to start: the signal's way to the process. */
  readonly termMs: number
  /** The database's clock was set while it ran: its moments tell of no order, nor of how long anything took. */
  readonly datesJump?: boolean
}

/** What must not happen: each must be empty. */
export interface Faults {
  /** Accepted, and not in the database. */
  lost: string[]
  /** Stored or run, and never asked for; or stored twice for one request; or altered. */
  unexpected: string[]
  /** Ended more than once. */
  finishedTwice: string[]
  /** Alive again after its end. */
  resurrected: string[]
  /** Two attempts of one task alive at one moment, while their processes were not stopped. */
  overlapping: string[]
  early: string[]
  /** Not ended. */
  stuck: string[]
  /** Ended otherwise than its task does. */
  wrongEnding: string[]
  /** Moments, attempts and errors of a row that do not fit together. */
  disordered: string[]
  /** An enqueue was refused with something else than a typed, passing refusal. */
  untyped: string[]
  startedAfterTerm: string[]
}

export interface Verdict {
  readonly faults: Faults
  /** What did happen, and how often: a run in which nothing did shows nothing. */
  readonly happened: Readonly<Record<Happening, number>>
  /** Milliseconds from a kill to the next start of each task that it cut off, in order. */
  readonly recoveries: readonly number[]
  readonly sizes: { readonly asked: number, readonly accepted: number, readonly starts: number, readonly rows: number }
}

export type Happening =
  | 'kill' | 'pause' | 'term' | 'death charged' | 'lease expired' | 'stale write refused' | 'handed back' | 'outage'
  | 'reply lost' | 'enqueue refused' | 'enqueue unknown' | 'restart' | 'lock' | 'session ended' | 'disk full' | 'black hole' | 'reset'
  | 'retry' | 'deferred' | 'skew' | 'second start' | 'read-only' | 'fail-over' | 'claim returned'

// A database counts whole milliseconds.
const CLOCK_GRAIN_MS = 2

interface Attempt { readonly id: string, readonly pid: number, readonly from: number, to: number, ended: boolean, readonly number: number }
type Stops = Map<number, Array<{ from: number, to: number }>>

/** Judge a history. Pure: the same history gives the same verdict. */
export function check (history: History): Verdict {
  const { entries, rows } = history
  const asked = new Map(entries.filter(({ what }) => what === 'asked').map((entry) => [entry['key'] as string, entry]))
  const accepted = entries.filter(({ what }) => what === 'accepted')
  const stops = stopsOf(entries)
  const attempts = attemptsOf(entries)
  const faults: Faults = {
    ...checkStored(asked, accepted, entries, rows),
    ...checkEndings(history, stops),
    overlapping: overlapping(attempts, stops, history.resumeMs),
    early: early(asked, history),
    stuck: rows.filter(({ status }) => !isFinal(status)).map(({ id, status }) => `${id} is ${status}`),
    wrongEnding: rows.flatMap((row) => wrongEnding(row, history.crashBudget)),
    disordered: rows.flatMap((row) => disorder(row, history)),
    untyped: entries.filter(({ what, code }) => what === 'refused-enqueue' && code !== 'FST_TASKS_STORE_UNAVAILABLE').map(({ key, code }) => `${String(key)}: ${String(code)}`),
    startedAfterTerm: startedAfterTerm(entries, history.termMs)
  }
  return {
    faults,
    happened: happenings(history, asked, accepted),
    recoveries: recoveries(entries, attempts),
    sizes: { asked: asked.size, accepted: accepted.length, starts: attempts.length, rows: rows.length }
  }
}

function checkStored (asked: ReadonlyMap<string, Entry>, accepted: readonly Entry[], entries: readonly Entry[], rows: readonly FinalRow[]): Pick<Faults, 'lost' | 'unexpected'> {
  const byId = new Map(rows.map((row) => [row.id, row]))
  const lost: string[] = []
  const unexpected: string[] = []
  for (const { key, id } of accepted) {
    const row = byId.get(id as string)
    if (row === undefined) lost.push(`${String(key)} was accepted as ${String(id)}`)
    else if (keyOf(row) !== key) unexpected.push(`${row.id} was accepted for ${String(key)} and holds ${keyOf(row)}`)
  }
  const seen = new Map<string, string>()
  for (const row of rows) {
    const key = keyOf(row)
    const request = asked.get(key)
    if (request === undefined) unexpected.push(`${row.id} holds ${key}, which nobody asked for`)
    else if (request['name'] !== row.task) unexpected.push(`${row.id} is of ${row.task}, not of ${String(request['name'])}`)
    const other = seen.get(key)
    if (other !== undefined) unexpected.push(`${key} is stored twice: ${other}, ${row.id}`)
    seen.set(key, row.id)
  }
  for (const { what, id, key } of entries) if (what === 'start' && !asked.has(key as string)) unexpected.push(`${String(id)} ran for ${String(key)}, which nobody asked for`)
  return { lost, unexpected }
}

function checkEndings ({ entries, rows, resumeMs }: History, stops: Stops): Pick<Faults, 'finishedTwice' | 'resurrected'> {
  const finishedTwice: string[] = []
  const resurrected: string[] = []
  const ended = new Map<string, Entry>()
  for (const entry of entries) {
    const id = entry['id'] as string
    const before = ended.get(id)
    if (entry.what === 'finished') {
      if (before !== undefined) finishedTwice.push(`${id} ended ${String(before['status'])}, then ${String(entry['status'])}`)
      else ended.set(id, entry)
    } else if (before !== undefined && (entry.what === 'start' || entry.what === 'retried')) {
      // What a stopped process had already claimed it may begin when it goes on; no write of it counts.
      if (entry.what === 'start' && excused(stops, entry.pid, entry.at, resumeMs)) continue
      // A retry is told when its answer has come, which on a bad network may be after the next attempt has ended.
      if (entry.what === 'retried' && (entry['attempts'] as number) < (before['attempts'] as number)) continue
      resurrected.push(`${id} had ended ${String(before['status'])}, and then: ${entry.what}`)
    }
  }
  for (const { id, status } of rows) {
    const told = ended.get(id)
    if (told !== undefined && told['status'] !== status) resurrected.push(`${id} had ended ${String(told['status'])} and is ${status}`)
  }
  return { finishedTwice, resurrected }
}

/** The attempts with their signs of life: from the start to the last that was seen of them. */
function attemptsOf (entries: readonly Entry[]): Attempt[] {
  const attempts: Attempt[] = []
  const open = new Map<string, Attempt>()
  for (const { what, at, pid, id, attempt } of entries) {
    const name = `${pid} ${String(id)} ${String(attempt)}`
    if (what === 'start') {
      const begun: Attempt = { id: id as string, pid, from: at, to: at, ended: false, number: attempt as number }
      attempts.push(begun)
      open.set(name, begun)
    } else if (what === 'beat' || what === 'end') {
      const known = open.get(name)
      if (known === undefined) continue
      known.to = at
      known.ended = what === 'end'
    }
  }
  return attempts
}

function overlapping (attempts: readonly Attempt[], stops: Stops, resumeMs: number): string[] {
  const found: string[] = []
  const byId = groupById(attempts)
  for (const [id, runs] of byId) {
    for (const [index, later] of runs.entries()) {
      for (const earlier of runs.slice(0, index)) {
        if (earlier.to <= later.from) continue
        // Seen alive after the other began. Excused where it had been stopped meanwhile and only just went on.
        if ((stops.get(earlier.pid) ?? []).some(({ from, to }) => from <= later.from && earlier.to <= to + resumeMs)) continue
        if (excused(stops, later.pid, later.from, resumeMs)) continue
        found.push(`${id}: attempt ${earlier.number} in ${earlier.pid} lived ${Math.round(earlier.to - later.from)} ms beside attempt ${later.number} in ${later.pid}`)
      }
    }
  }
  return found
}

function stopsOf (entries: readonly Entry[]): Stops {
  const stops: Stops = new Map()
  for (const { what, at, of } of entries) {
    const pid = of as number
    if (what === 'pause') stops.set(pid, [...stops.get(pid) ?? [], { from: at, to: Infinity }])
    else if (what === 'resume') {
      const last = stops.get(pid)?.at(-1)
      if (last !== undefined) last.to = at
    }
  }
  return stops
}

function excused (stops: Stops, pid: number, at: number, resumeMs: number): boolean {
  return (stops.get(pid) ?? []).some(({ from, to }) => from <= at && at <= to + resumeMs)
}

/** By two clocks: the database's, in the row, and the host's monotonic one, in the ledgers. */
function early (asked: ReadonlyMap<string, Entry>, { entries, rows, datesJump = false }: History): string[] {
  const found = rows.filter(({ status, runAfter, lastAttemptedAt }) => status !== 'READY' && runAfter !== null && lastAttemptedAt !== null && lastAttemptedAt < runAfter)
    .map(({ id, runAfter, lastAttemptedAt }) => `${id} was attempted ${Number(runAfter) - Number(lastAttemptedAt)} ms early`)
  if (datesJump) return found
  for (const { what, id, key, at } of entries) {
    const request = what === 'start' ? asked.get(key as string) : undefined
    if (request === undefined) continue
    const due = request.at + Number(request['delay'] ?? 0) - CLOCK_GRAIN_MS
    if (at < due) found.push(`${String(id)} started ${Math.round(due - at)} ms early`)
  }
  return found
}

function wrongEnding (row: FinalRow, crashBudget: number): string[] {
  if (!isFinal(row.status)) return []
  const deaths = row.errors.filter(({ code }) => code === 'FST_TASKS_WORKER_LOST').length
  if (row.status === 'FAILED') return row.task === 'doomed' || deaths >= crashBudget ? [] : [`${row.id} (${row.task}) FAILED after ${deaths} deaths: ${JSON.stringify(row.errors.at(-1))}`]
  if (row.status !== 'SUCCESSFUL' || row.task === 'doomed') return [`${row.id} (${row.task}) ended ${row.status}`]
  return row.returnValue === JSON.stringify(keyOf(row)) ? [] : [`${row.id} returned ${String(row.returnValue)}`]
}

function disorder (row: FinalRow, { datesJump = false }: History): string[] {
  if (!isFinal(row.status)) return []
  const { id, enqueuedAt, startedAt, lastAttemptedAt, finishedAt, attempts, errors, status } = row
  const found: string[] = []
  if (startedAt === null || lastAttemptedAt === null || finishedAt === null) found.push(`${id} ended without its moments`)
  else if (!datesJump && !(enqueuedAt <= startedAt && startedAt <= lastAttemptedAt && lastAttemptedAt <= finishedAt)) found.push(`${id}: ${enqueuedAt} ${startedAt} ${lastAttemptedAt} ${finishedAt}`)
  if (status === 'FAILED' && errors.length === 0) found.push(`${id} FAILED without an error`)
  // Every charged attempt but a successful last one left its error; one that was handed back left nothing.
  if (attempts !== errors.length + (status === 'SUCCESSFUL' ? 1 : 0)) found.push(`${id}: ${attempts} attempts, ${errors.length} errors, ${status}`)
  if (errors.some(({ attempt }, index) => attempt !== index + 1)) found.push(`${id}: errors of attempts ${errors.map(({ attempt }) => attempt).join(', ')}`)
  return found
}

function startedAfterTerm (entries: readonly Entry[], termMs: number): string[] {
  const told = new Map<number, number>()
  const found: string[] = []
  for (const { what, at, pid, of, id } of entries) {
    if (what === 'term') told.set(of as number, at)
    const since = what === 'start' ? told.get(pid) : undefined
    if (since !== undefined && at - since > termMs) found.push(`${String(id)} started ${Math.round(at - since)} ms after SIGTERM in ${pid}`)
  }
  return found
}

function happenings (history: History, asked: ReadonlyMap<string, Entry>, accepted: readonly Entry[]): Record<Happening, number> {
  const { entries, rows } = history
  const count = (...words: string[]): number => entries.filter(({ what }) => words.includes(what)).length
  const rescued = entries.filter(({ what, workers }) => what === 'rescued' && (workers as unknown[]).length > 0).length
  const charged = entries.filter(({ what }) => what === 'rescued').reduce((sum, { charged }) => sum + (charged as unknown[]).length, 0)
  const answered = new Set([...accepted, ...entries.filter(({ what }) => what === 'refused-enqueue')].map(({ key }) => key))
  const starts = groupById(entries.filter(({ what }) => what === 'start') as unknown as Array<{ id: string }>)
  return {
    kill: count('kill'),
    pause: count('pause'),
    term: count('term'),
    restart: count('restart'),
    lock: count('lock'),
    reset: count('reset'),
    skew: count('skew'),
    'session ended': count('terminate'),
    'disk full': count('disk-full'),
    'black hole': count('black-hole'),
    'read-only': count('read-only'),
    'fail-over': count('fail-over'),
    'reply lost': count('reply-lost'),
    'claim returned': count('claim-returned'),
    'death charged': Math.max(charged, rows.filter(({ errors }) => errors.some(({ code }) => code === 'FST_TASKS_WORKER_LOST')).length),
    'lease expired': rescued + count('lease-lost'),
    'stale write refused': count('refused'),
    'handed back': entries.filter(({ what, how }) => what === 'end' && how === 'FST_TASKS_SHUTDOWN').length,
    outage: count('answers-again', 'trouble'),
    'enqueue refused': count('refused-enqueue'),
    'enqueue unknown': [...asked.keys()].filter((key) => !answered.has(key)).length,
    retry: count('retried'),
    deferred: [...asked.values()].filter(({ delay }) => delay !== null && delay !== undefined).length,
    'second start': [...starts.values()].filter((runs) => runs.length > 1).length
  }
}

/** How long it took until what a kill had cut off was run again. */
function recoveries (entries: readonly Entry[], attempts: readonly Attempt[]): number[] {
  const kills = entries.filter(({ what, of }) => what === 'kill' && typeof of === 'number')
  const found: number[] = []
  for (const { at, of } of kills) {
    for (const cut of attempts) {
      if (cut.pid !== of || cut.ended || cut.from > at || cut.number > 1) continue // from the second death on it waits for a process of its own
      const next = attempts.find(({ id, from }) => id === cut.id && from > at)
      if (next !== undefined) found.push(next.from - at)
    }
  }
  return found.sort((a, b) => a - b)
}

function groupById<T extends { readonly id: string }> (all: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const one of all) {
    const group = groups.get(one.id)
    if (group === undefined) groups.set(one.id, [one])
    else group.push(one)
  }
  return groups
}

function keyOf ({ args }: FinalRow): string {
  return String((JSON.parse(args) as unknown[])[0])
}

function isFinal (status: string): boolean {
  return status === 'SUCCESSFUL' || status === 'FAILED' || status === 'CANCELLED'
}
