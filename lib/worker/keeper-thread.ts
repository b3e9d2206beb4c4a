import { parentPort, workerData } from 'node:worker_threads'
import type { Ending } from '../store/store.js'
import { CALL_TIMEOUT_MS, KEEPER_CALL_MIN_MS, MEMORY_LOOK_MS, MEMORY_REST_MS } from '../core/limits.js'
import { Backoff } from './backoff.js'
import { Heartbeat } from './heartbeat.js'
import { Keeper, type Guard, type KeeperReport, type KeeperSettings, type Watched } from './keeper.js'
import { pause } from './pause.js'
import { PIPE_WAIT_MS, PipeWriter } from './pipe-writer.js'
import { residentBytes } from './resident.js'
import { ThreadEnd } from './thread-end.js'
import { openThreadStore, type ThreadStore } from './thread-store.js'

/** What the thread is started with. */
export interface KeeperThreadData {
  readonly store: ThreadStore
  readonly settings: KeeperSettings
  readonly memory: SharedArrayBuffer
  /** Of its ThreadEnd. */
  readonly end: SharedArrayBuffer
  /** A pipe to the supervisor; null where there is none: then a blocked loop is left alone. */
  readonly pipe: number | null
}

/** What the thread is told. */
export type KeeperOrder =
  | { readonly type: 'watch', readonly id: string, readonly watched: Watched }
  | { readonly type: 'forget', readonly id: string }
  | { readonly type: 'stop' }

const { store: origin, settings, memory, end: endMemory, pipe } = workerData as KeeperThreadData
const port = parentPort as NonNullable<typeof parentPort>
const heartbeat = new Heartbeat(memory)
const end = new ThreadEnd(endMemory)
// Before the driver is loaded: a process that exits meanwhile would be aborted as well (SIGABRT). Ends this thread alone.
if (!end.open()) process.exit()
// A connection that is dead and does not say so must not cost the lease: there is time for several tries.
const callTimeout = Math.min(CALL_TIMEOUT_MS, Math.max(KEEPER_CALL_MIN_MS, settings.leaseMs / 6))
const { store, release } = openThreadStore({ ...origin, config: { ...origin.config, callTimeout } })
const keeper = new Keeper(store, settings, {
  report: (report: KeeperReport) => { port.postMessage(report) },
  held: () => heartbeat.held,
  guard: pipe === null ? null : guardFor(new PipeWriter(pipe, Math.min(PIPE_WAIT_MS, settings.leaseMs / 20)))
})
const stopped = new AbortController()

port.on('message', (order: KeeperOrder) => {
  if (order.type === 'watch') keeper.watched.set(order.id, order.watched)
  else if (order.type === 'forget') keeper.watched.delete(order.id)
  else void stop()
})
void run()

async function run (): Promise<void> {
  keeper.connected = false // the loop is watched from the first moment
  keeper.start()
  const backoff = new Backoff(50, 1_000)
  while (!stopped.signal.aborted) {
    try {
      await store.open()
      keeper.connected = true
      return
    } catch (error) {
      port.postMessage({ type: 'failed', message: (error as Error).message } satisfies KeeperReport)
      await pause(backoff.next(), stopped.signal)
    }
  }
}

async function stop (): Promise<void> {
  stopped.abort()
  // At once: a store that is closing tries nothing again.
  await Promise.all([keeper.stop(), store.close().catch(() => {})])
  await release()
  end.closed()
  port.close()
}

const parent = process.ppid
let sent = 0

function guardFor (writer: PipeWriter): Guard {
  return { heartbeat, onBlocked: (blockedMs, late) => { endProcess(writer, blockedMs, late) }, onTick: (resting) => { tick(writer, resting) } }
}

/** Tell the supervisor that this process lives, whatever its main loop does; and die with the supervisor. One that rests hardly grows. */
function tick (writer: PipeWriter, resting: boolean): void {
  if (process.ppid !== parent) process.kill(process.pid, 'SIGKILL')
  const now = performance.now()
  if (now - sent < Math.min(resting ? MEMORY_REST_MS : MEMORY_LOOK_MS, settings.leaseMs / 4)) return
  sent = now
  writer.send({ type: 'alive', rssBytes: residentBytes() })
}

/** The supervisor writes what is known once this process is gone, and not before: another may run the task then. */
function endProcess (writer: PipeWriter, blockedMs: number, late: readonly Ending[]): void {
  writer.send({ type: 'blocked', worker: settings.worker, blockedMs: Math.round(blockedMs), endings: late }, { wait: true })
  process.kill(process.pid, 'SIGKILL')
}
