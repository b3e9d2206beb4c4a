import { setTimeout as delay } from 'node:timers/promises'
import { DOCTOR_LISTENER_MS, DOCTOR_OLDEST_READY_MS, DOCTOR_OLDEST_TRANSACTION_MS, LEASE_MS } from '../core/limits.js'
import type { Inspection } from '../store/inspection.js'
import type { KnexStore } from '../store/index.js'
import type { Stats } from '../store/store.js'
import { describeError } from './failure.js'
import { age, plural } from './print.js'

/** One thing that was looked at. */
export interface Check {
  readonly name: string
  /** A `warning` may be meant so; a `problem` is not. */
  readonly state: 'ok' | 'warning' | 'problem'
  readonly found: string
}

/** Look at everything. Where the database cannot be opened, the reason is the only check. */
export async function checkDatabase (store: KnexStore, connect: () => KnexStore, alias: string): Promise<Check[]> {
  try {
    await store.open()
  } catch (error) {
    return [check('database', 'problem', describeError(error))]
  }
  const inspection = await store.inspect()
  const stats = await store.stats(alias)
  return [
    check('database', 'ok', `${inspection.dialect === 'postgres' ? 'PostgreSQL' : 'SQLite'} ${inspection.version}, driver ${inspection.driver}`),
    check('tables', 'ok', 'up to date'),
    ...inspection.settings.map(({ name, value, problem }) => check(name, problem === null ? 'ok' : 'problem', problem === null ? value : `${value}: ${problem}`)),
    ...oldTransaction(inspection),
    await wakeUp(store, connect),
    workers(stats),
    ...deadWorkers(inspection, stats),
    ...queues(stats),
    ...unknownTasks(stats)
  ]
}

function oldTransaction ({ oldestTransactionMs: oldest }: Inspection): Check[] {
  if (oldest === null || oldest < DOCTOR_OLDEST_TRANSACTION_MS) return []
  return [check('vacuum', 'warning', `a transaction has been open for ${age(oldest)}: dead rows stay until it ends`)]
}

async function wakeUp (store: KnexStore, connect: () => KnexStore): Promise<Check> {
  let wake = (): void => {}
  const listener = await store.listen(() => { wake() })
  try {
    const woken = new Promise<boolean>((resolve) => { wake = () => { resolve(true) } })
    const works = listener.healthy() && (store.dialect === 'sqlite' || await isHeard(connect(), woken))
    return works
      ? check('wake-up', 'ok', 'works')
      : check('wake-up', 'warning', 'notifications do not come through (a transaction pooler?): workers poll. Say so with --no-listen')
  } finally {
    await listener.close()
  }
}

/** A notification from another connection must arrive: behind a transaction pooler LISTEN succeeds, and nothing comes. */
async function isHeard (other: KnexStore, woken: Promise<boolean>): Promise<boolean> {
  other.committed()
  const heard = await Promise.race([woken, delay(DOCTOR_LISTENER_MS, false, { ref: false })])
  await other.close()
  return heard
}

function workers ({ workers: alive, queues: byName }: Stats): Check {
  if (alive.length > 0) return check('workers', 'ok', `${plural(alive.length, 'worker')} alive`)
  const ready = open(byName).reduce((sum, [, queue]) => sum + queue.ready, 0)
  return ready === 0
    ? check('workers', 'warning', 'none is alive; nothing waits')
    : check('workers', 'problem', `none is alive, and ${plural(ready, 'result')} ${ready === 1 ? 'waits' : 'wait'}`)
}

function deadWorkers ({ deadWorkers: dead }: Inspection, { workers: alive }: Stats): Check[] {
  return dead.map(({ id, silentMs, claims }) => {
    // One that is alive looks for the dead every few seconds.
    const soon = claims === 0 || (alive.length > 0 && silentMs < 3 * LEASE_MS)
    return check('dead worker', soon ? 'warning' : 'problem', `${id} has been silent for ${age(silentMs)} ${claims === 0 ? 'and holds nothing' : `and holds ${plural(claims, 'batch', 'batches')}`}`)
  })
}

function queues ({ queues: byName, workers: alive }: Stats): Check[] {
  const paused = Object.entries(byName).filter(([, queue]) => queue.paused)
    .map(([name, { ready }]) => check('queue', 'warning', `'${name}' is paused; ${plural(ready, 'result')} ready`))
  const late = open(byName).filter(([, { oldestReadyMs }]) => alive.length > 0 && (oldestReadyMs ?? 0) >= DOCTOR_OLDEST_READY_MS)
    .map(([name, { oldestReadyMs }]) => check('queue', 'warning', `'${name}' has work that has been ready for ${age(oldestReadyMs)}`))
  const failed = Object.values(byName).reduce((sum, queue) => sum + queue.failed, 0)
  const rest = paused.length + late.length === 0 ? [check('queues', 'ok', `${plural(Object.keys(byName).length, 'queue')}; ${plural(failed, 'failed result')}`)] : []
  return [...paused, ...late, ...rest]
}

function unknownTasks ({ unknownTasks: names, workers: alive }: Stats): Check[] {
  if (alive.length === 0) return []
  return names.map(({ name, ready }) => check('unknown task', 'problem', `no worker that is alive knows '${name}'; ${plural(ready, 'result')} ready`))
}

function open (byName: Stats['queues']): Array<[string, Stats['queues'][string]]> {
  return Object.entries(byName).filter(([, queue]) => !queue.paused)
}

function check (name: string, state: Check['state'], found: string): Check {
  return { name, state, found }
}
