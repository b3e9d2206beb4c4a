import type { FastifyBaseLogger } from 'fastify'
import type { Ending } from '../store/store.js'
import { LAST_WRITES_HURRY_MS, LAST_WRITES_MS } from '../core/limits.js'
import type { Claimer } from './claimer.js'
import { pause, settledWithin, TIMER_MAX_MS } from './pause.js'
import type { WorkerRole } from './role.js'
import type { Session } from './session.js'
import type { Slots } from './slots.js'
import type { EndReason } from './worker.js'

export interface Shutdown {
  readonly reason: EndReason
  readonly claimer: Claimer
  readonly slots: Slots
  readonly sessions: ReadonlySet<Session>
  /** Another one is being opened, which is to be given back, too. */
  readonly registering: Promise<void> | null
  readonly role: WorkerRole
  readonly log: FastifyBaseLogger
  /** What running attempts get before they are aborted. */
  readonly graceMs: number
  /** Aborted: no grace. */
  readonly now: AbortSignal
}

const HURRY_MS = 500 // what attempts get to settle after a second signal

/**
 * Stop in order: claim nothing more, hand back what is buffered, let attempts end, abort the rest and hand them back.
 * The lease is renewed and cancellations are heard until the last write.
 */
export async function stopWorker (shutdown: Shutdown): Promise<void> {
  const { reason, claimer, slots, sessions, registering, role, log, graceMs, now } = shutdown
  const writesUntil = performance.now() + Math.max(LAST_WRITES_MS, graceMs)
  slots.close()
  await hurried(claimer.stop(), now)
  slots.close() // a claim that was under way may have brought rows
  if (reason !== 'stuck' && slots.runs.size > 0) {
    log.info({ running: slots.runs.size, graceMs: now.aborted ? 0 : graceMs }, 'waiting for running attempts')
    await until(() => settled(slots), graceMs, now)
    if (!settled(slots)) {
      slots.abort('shutdown')
      // Each has an outcome at the end of its own grace, whether it settles or not. A process that is replaced need not
      // wait for that when it is in a hurry: what has not settled is handed back when it is gone.
      await until(() => settled(slots), Infinity, role.supervised ? now : undefined)
      if (!settled(slots)) await until(() => settled(slots), HURRY_MS)
    }
  }
  const enough = lastWrites(reason === 'broken' ? LAST_WRITES_HURRY_MS : Math.max(LAST_WRITES_MS, writesUntil - performance.now()), now)
  try {
    const opened = new Set(sessions)
    for (const session of opened) await leave(session, shutdown, enough.signal)
    if (registering !== null) await hurried(registering, now)
    for (const session of sessions) if (!opened.has(session)) await leave(session, shutdown, enough.signal)
  } finally {
    enough.stop()
  }
}

/** Aborted when what the last writes get is over. */
function lastWrites (milliseconds: number, now: AbortSignal): { signal: AbortSignal, stop: () => void } {
  const over = new AbortController()
  const end = (): void => { over.abort() }
  let timer = setTimeout(end, Math.min(milliseconds, TIMER_MAX_MS))
  const hurry = (): void => {
    clearTimeout(timer)
    timer = setTimeout(end, LAST_WRITES_HURRY_MS)
  }
  if (now.aborted) hurry()
  else now.addEventListener('abort', hurry, { once: true })
  return {
    signal: over.signal,
    stop: () => {
      clearTimeout(timer)
      now.removeEventListener('abort', hurry)
    }
  }
}

/** True where every attempt has settled, or ignores its signal and has its outcome. */
function settled (slots: Slots): boolean {
  return slots.stuck === slots.runs.size
}

const LOOK_MS = 5

async function until (condition: () => boolean, milliseconds = Infinity, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + milliseconds
  while (!condition() && performance.now() < deadline && signal?.aborted !== true) await pause(LOOK_MS, signal)
}

/** The last writes under one id, and its end. */
async function leave (session: Session, { slots, role, log }: Shutdown, enough: AbortSignal): Promise<void> {
  const written = await session.reporter.drain(TIMER_MAX_MS, enough)
  const held = [...slots.runs].filter((run) => run.session === session && (run.stuck ? run.held !== null : !run.committed))
  if (held.length > 0) {
    const ids = held.map(({ row }) => row.id)
    if (role.supervised) log.error({ worker: session.id, ids }, 'attempts ignore their signal: they are handed back when this process is gone')
    else log.error({ worker: session.id, ids }, 'attempts ignore their signal: they are taken back when the lease has run out')
  }
  const leaveBehind = (): void => {
    const endings = held.flatMap(({ held }) => held === 'release' || held === null ? [] : [held satisfies Ending])
    role.onEstate({ worker: session.id, endings: [...session.reporter.unwritten, ...endings], died: false, started: null })
  }
  const left = !written || held.length > 0
  if (left) leaveBehind()
  session.reporter.end()
  if (left) {
    // What runs on is nobody else's as long as it does: the lease ends with the process.
    if (!role.supervised) await session.lease.stop()
    return
  }
  try {
    // At once: on a busy machine the keeper's thread takes longer to end than there may be time.
    await Promise.all([session.lease.stop(), unless(enough, session.deregister())])
    role.onDeregistered(session.id)
  } catch (error) {
    leaveBehind()
    log.warn({ err: error, worker: session.id }, 'the worker could not sign off')
  }
}

/** Until the promise settles; after a second signal no longer than attempts get to. */
async function hurried (promise: Promise<void>, now: AbortSignal): Promise<void> {
  if (!await settledWithin(promise, TIMER_MAX_MS, now)) await settledWithin(promise, HURRY_MS)
}

/** The promise's value; an error once there was time enough. */
async function unless<T> (enough: AbortSignal, promise: Promise<T>): Promise<T> {
  promise.catch(() => {}) // heard or not
  const over = new Promise<never>((_resolve, reject) => {
    const end = (): void => { reject(new Error('there was no time left for it')) }
    if (enough.aborted) end()
    else enough.addEventListener('abort', end, { once: true })
  })
  return await Promise.race([promise, over])
}
