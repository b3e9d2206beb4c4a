import { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { hostOf } from '../core/host.js'
import { OUTAGE_BACKOFF_MAX_MS, OUTAGE_BACKOFF_MIN_MS } from '../core/limits.js'
import { Backoff } from './backoff.js'
import { databaseBackend } from './backend.js'
import { guardProcess } from './exit-guard.js'
import { settleEstates } from './heir.js'
import { PIPE_FD, RECORD_FD, type ChildMessage, type ChildOrders, type ChildRole, type SupervisorMessage } from './messages.js'
import type { CheckedWorkerOptions } from './options.js'
import { pause } from './pause.js'
import { Rescuer } from './rescuer.js'
import { residentBytes } from './resident.js'
import type { WorkerRole } from './role.js'
import { StartRecord } from './start-record.js'
import { Worker, type EndReason } from './worker.js'

/** Builds the app whose tasks are run; called in each worker process. */
export type BuildApp = () => FastifyInstance | Promise<FastifyInstance>

/** The life of a worker process: boot the app, run a worker, close the app, exit. Never returns. */
export async function liveAsChild (role: ChildRole, buildApp: BuildApp, options: CheckedWorkerOptions): Promise<never> {
  const supervisor = new SupervisorLine()
  if (role === 'heir') supervisor.listen(UNMOVED)
  const { estates, maxTasks, record } = await supervisor.orders
  try {
    const { app, bootMs } = await boot(buildApp)
    guardProcess(app.log)
    setInterval(() => { void supervisor.send({ type: 'alive' }) }, options.lease / 4).unref()
    neverWaitFor(PIPE_FD)
    const host = hostOf(app)
    const backend = databaseBackend(options.backend, host.backend(options.backend))
    await supervisor.send({ type: 'booted', bootMs })
    await settleEstates(host, backend, estates)
    await supervisor.send({ type: 'settled' })
    if (role === 'heir') {
      await new Rescuer(host, backend).runOnce()
    } else {
      const quarantined = role === 'quarantine'
      const worker = new Worker(host, { ...options, maxTasks, ...(quarantined && QUARANTINE) }, supervisedRole(supervisor, quarantined, record ? new StartRecord(RECORD_FD) : null))
      host.onClose(async () => { await worker.stop() }) // a task may close its app
      supervisor.listen({
        stop: (now) => {
          void worker.stop({ now })
        },
        retire: () => { worker.retire() }
      })
      const reason = await worker.run()
      await supervisor.send({ type: 'ended', started: worker.started, replace: REPLACED.has(reason) })
    }
    // Closing must not hang on what a task left open; the process ends all the same.
    await Promise.race([app.close().catch((error: unknown) => { app.log.error({ err: error }, 'the app did not close cleanly') }), pause(CLOSE_MS)])
    return await end(0)
  } catch (error) {
    console.error(error)
    return await end(1)
  }
}

/**
 * The keeper's thread writes to the pipe. A supervisor that is stopped reads nothing, and with a pipe that is full the
 * thread would wait for it, and the lease with it. The flag belongs to the open pipe: setting it here sets it there.
 */
function neverWaitFor (fd: number): void {
  pipes.push(new Socket({ fd, readable: false, writable: true }).unref())
}

const pipes: Socket[] = [] // one that is collected would be closed

// What it hands back was told to stop already: its supervisor limits the time that this may take.
const UNMOVED: Listener = { stop: () => {}, retire: () => {} }
const CLOSE_MS = 5_000 // what the app's own onClose hooks get
// 'stopped': by its supervisor, who knows, or else by a task that has closed the app, or a signal that was for it alone
const REPLACED: ReadonlySet<EndReason> = new Set(['stuck', 'broken', 'retired', 'stopped'])
const QUARANTINE = { concurrency: 1, batch: true, startupDelay: 0, maxTasks: null } as const

/** The app, ready. A database that is away at the start is waited for. */
async function boot (buildApp: BuildApp): Promise<{ app: FastifyInstance, bootMs: number }> {
  const backoff = new Backoff(OUTAGE_BACKOFF_MIN_MS, OUTAGE_BACKOFF_MAX_MS)
  const loadMs = performance.now() // since the process was started
  for (let tries = 1; ; tries++) {
    const begun = performance.now()
    let app: FastifyInstance | null = null
    try {
      app = await buildApp()
      await app.ready()
      return { app, bootMs: loadMs + performance.now() - begun }
    } catch (error) {
      await app?.close().catch(() => {})
      if ((error as { code?: unknown } | null)?.code !== 'FST_TASKS_STORE_UNAVAILABLE') throw error
      if (tries === 1) say(app, `the worker waits for its database: ${(error as Error).message}`)
      await pause(backoff.next())
    }
  }
}

/** Through the app's logger where it has one that prints. */
function say (app: FastifyInstance | null, text: string): void {
  if (app === null || (app.log as { isLevelEnabled?: (level: string) => boolean }).isLevelEnabled?.('warn') !== true) console.error(`fastify-tasks: ${text}`)
  else app.log.warn(text)
}

function supervisedRole (supervisor: SupervisorLine, quarantined: boolean, record: StartRecord | null): WorkerRole {
  return {
    supervised: true,
    quarantined,
    pipe: PIPE_FD,
    onRegistered: async (worker) => {
      record?.begin(worker)
      await supervisor.register(worker)
    },
    onStart: (worker, claim, rows) => { record?.started(worker, claim, rows) },
    onDeregistered: (worker) => { void supervisor.send({ type: 'deregistered', worker }) },
    onProgress: () => { void supervisor.send({ type: 'progress' }) },
    onQuarantine: () => { void supervisor.send({ type: 'quarantine' }) },
    onEstate: (estate) => { void supervisor.send({ type: 'estate', estate }) },
    die: () => { process.kill(process.pid, 'SIGKILL') }
  }
}

/** What a worker process does when it is told to. */
interface Listener {
  /** Called for the first signal (drain), and for the second (now). */
  readonly stop: (now: boolean) => void
  readonly retire: () => void
}

/** The line to the supervisor, and the signals that reach this process by themselves. */
class SupervisorLine {
  readonly orders: Promise<ChildOrders>
  #listener: Listener | null = null
  #stage = 0
  #signals = 0
  readonly #noted: Array<() => void> = []

  constructor () {
    let give: (orders: ChildOrders) => void
    this.orders = new Promise((resolve) => { give = resolve })
    process.on('message', (message: SupervisorMessage) => {
      if (message.type === 'orders') give(message.orders)
      else if (message.type === 'noted') this.#noted.shift()?.()
      else if (message.type === 'retire') this.#listener?.retire()
      else {
        void this.send({ type: 'stopping', now: message.now })
        this.#stop(message.now ? 2 : 1)
      }
    })
    // Whoever killed the supervisor meant the worker, and nobody would replace this process or pass a signal on: it ends
    // as it would have without a supervisor. Its tasks run again within the lease.
    const orphaned = (): void => { process.kill(process.pid, 'SIGKILL') }
    process.on('disconnect', orphaned)
    if (!process.connected) orphaned() // while this process was loading
    // A terminal sends its signals to all processes of the group, so the supervisor's message may be the second to say so.
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => { this.#stop(++this.#signals) })
    void this.send({ type: 'hello' })
  }

  listen (listener: Listener): void {
    this.#listener = listener
    if (this.#stage > 0) listener.stop(this.#stage > 1)
  }

  /**
   * Say under which id this process works, and wait until that has arrived: until then the supervisor takes it for one
   * that holds nothing.
   */
  async register (worker: string): Promise<void> {
    const noted = new Promise<void>((resolve) => { this.#noted.push(resolve) })
    await this.send({ type: 'registered', worker, rssBytes: residentBytes() })
    await noted
  }

  /** Resolves when the message has left. */
  async send (message: ChildMessage): Promise<void> {
    await new Promise<void>((resolve) => {
      if (process.connected) process.send?.(message, undefined, undefined, () => { resolve() })
      else resolve()
    })
  }

  #stop (stage: number): void {
    if (stage <= this.#stage) return
    this.#stage = stage
    if (this.#listener === null) process.exit(0) // not ready yet: nothing is held
    else this.#listener.stop(stage > 1)
  }
}

/** Exit once what was printed has left. Timers and sockets that tasks left behind hold nothing up. */
async function end (code: number): Promise<never> {
  await Promise.all([process.stdout, process.stderr].map(async (stream) => {
    await Promise.race([new Promise<void>((resolve) => { stream.write('', () => { resolve() }) }), pause(1_000)])
  }))
  process.removeAllListeners('disconnect')
  return process.exit(code)
}
