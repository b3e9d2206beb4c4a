import type { FastifyBaseLogger } from 'fastify'
import type { TasksHost } from '../core/host.js'
import type { DatabaseBackend } from '../backends/database.js'
import type { Listener } from '../store/store.js'
import { WORKER_RUNNING } from '../core/errors.js'
import { databaseBackend } from './backend.js'
import type { Isolation } from '../run/isolated.js'
import { Claimer, type Room } from './claimer.js'
import { loopsOf } from './house.js'
import type { Loop } from './loop.js'
import type { CheckedWorkerOptions } from './options.js'
import { Outage } from './outage.js'
import { Pace } from './pace.js'
import { Parking } from './parking.js'
import { pause } from './pause.js'
import { PoolWatch } from './pool-watch.js'
import { Quarantine } from './quarantine.js'
import { Rescuer } from './rescuer.js'
import { EMBEDDED, type WorkerRole } from './role.js'
import { Runner, type Run } from './runner.js'
import { Session } from './session.js'
import { stopWorker } from './shutdown.js'
import { Slots } from './slots.js'
import { threadStoreOf } from './thread-store.js'

const REGISTERING = 'the worker cannot register'
const SWEEPING = 'dead workers could not be looked for'

/** Why a worker's run ends. */
export type EndReason =
  /** Batch: nothing was ready any more. */
  | 'drained'
  /** It has started as many attempts as it may. */
  | 'spent'
  | 'stopped'
  /** An attempt ignores its signal, and nothing else runs: the process is to be replaced. */
  | 'stuck'
  /** The database answers the keeper, and cannot be reached with this process's own connections: likewise. */
  | 'broken'
  /** The process is too large, and what it ran has ended: likewise. */
  | 'retired'

/**
 * Claims ready results of one database backend and runs them with the tasks of its app. Made by `createWorker` and
 * `runWorker`.
 */
export class Worker {
  readonly #host: TasksHost
  readonly #options: CheckedWorkerOptions
  readonly #role: WorkerRole
  readonly #backend: DatabaseBackend
  readonly #log: FastifyBaseLogger
  readonly #slots: Slots
  readonly #claimer: Claimer
  readonly #parking: Parking
  readonly #quarantine: Quarantine
  readonly #outage: Outage
  readonly #rescuer: Rescuer
  readonly #loops: Loop[]
  readonly #stop = new AbortController()
  readonly #now = new AbortController()
  readonly #sessions = new Set<Session>()
  #session: Session | null = null
  #listener: Listener | null = null
  #finished: Promise<EndReason> | null = null
  #registering: Promise<void> | null = null
  #end: (reason: EndReason) => void = () => {}
  #ending: EndReason | null = null
  /** Loaded by the first task that asks for it. */
  #isolation: Promise<Isolation> | null = null
  /** Nothing is claimed before: a batch that is woken early must not take what it finds then for all there is. */
  #opened = false
  #progressed = false
  /** It is to end when what runs has ended. */
  #retiring = false
  /** An attempt has ended that had limits: they may have room now. */
  #limitFreed = false
  /** Grows with whatever could have made rows ready; the last look saw it at `#lookedAt`, with nothing under way. */
  #activity = 0
  #lookedAt = -1

  constructor (host: TasksHost, options: CheckedWorkerOptions, role: WorkerRole = EMBEDDED) {
    this.#host = host
    this.#options = options
    this.#role = role
    this.#backend = databaseBackend(options.backend, host.backend(options.backend))
    this.#log = host.log
    const { store, alias } = this.#backend
    const pool = new PoolWatch(store, () => { this.#onBroken() })
    const outage = this.#outage = new Outage(this.#log, { longMs: options.lease, onLong: () => { void pool.look() } })
    const pace = new Pace(options.concurrency)
    const runner = new Runner({ host, backend: this.#backend, pace, isolation: async () => await (this.#isolation ??= import('../run/isolated.js').then(({ Isolation }) => new Isolation())), onFree: (run) => { this.#onFree(run) }, onStuck: (run) => { this.#onStuck(run) }, onReturned: (row) => { this.#claimer.turnBack(row) } })
    this.#slots = new Slots({ store, concurrency: options.concurrency, maxTasks: options.maxTasks, pace, runner, outage, onStart: ({ session, claim, place }) => { role.onStart(session.id, claim.number, place + 1) } })
    this.#quarantine = new Quarantine({ ...options, store, backend: alias, tasks: () => host.registry.names(), role, log: this.#log, wake: () => { this.#claimer.forgetCursors(); this.#claimer.wake() } })
    const parking = this.#parking = new Parking({ store, backend: alias, tasks: () => host.registry.names() })
    this.#claimer = new Claimer({
      ...options,
      store,
      backend: alias,
      queueLimits: this.#backend.queueLimits,
      outage,
      log: this.#log,
      quarantined: () => role.quarantined || this.#quarantine.alone,
      tasks: () => host.registry.names(),
      parking,
      room: () => this.#room(),
      session: () => this.#session,
      onRows: (session, claim, rows) => {
        this.#activity += 1
        this.#slots.add(session, claim, rows)
      },
      onDry: () => { void this.#onDry() }
    })
    this.#rescuer = new Rescuer(host, this.#backend)
    this.#loops = loopsOf({ backend: this.#backend, role, log: this.#log, every: options.sweep, parking, sweep: async () => { await this.#sweep() }, onError: (error) => { outage.failed(error, SWEEPING) } })
  }

  /** Random at each boot, and new after a lost lease; null while it is not registered. */
  get id (): string | null {
    return this.#session?.id ?? null
  }

  /** Attempts started so far. */
  get started (): number {
    return this.#slots.started
  }

  /**
   * Work until there is nothing ready any more (`batch`), `maxTasks` attempts were started, or `stop()` is called.
   * Waits for a database that is away, and says so.
   * @throws FST_TASKS_WORKER_RUNNING
   */
  async run (): Promise<EndReason> {
    if (this.#finished !== null) throw new WORKER_RUNNING()
    const ended = new Promise<EndReason>((resolve) => {
      this.#end = (reason) => {
        this.#ending ??= reason
        resolve(this.#ending)
      }
    })
    this.#finished = this.#run(ended)
    return await this.#finished
  }

  /**
   * Claim nothing more, hand back what is buffered, give running attempts their grace, then abort them and hand them
   * back. Resolves when that is done. `now`: without the grace. May be called again, to say so.
   */
  async stop ({ now = false }: { now?: boolean } = {}): Promise<void> {
    this.#stop.abort()
    if (now) this.#now.abort()
    this.#finished ??= Promise.resolve('stopped')
    this.#end('stopped')
    await this.#finished
  }

  /** Claim nothing more, hand back what is buffered, and end when what runs has ended, however long that takes. */
  retire (): void {
    this.#retiring = true
    this.#slots.close()
    this.#checkEnd()
  }

  async #run (ended: Promise<EndReason>): Promise<EndReason> {
    const { startupDelay } = this.#options
    if (startupDelay > 0) await pause(Math.random() * startupDelay, this.#stop.signal)
    if (this.#stop.signal.aborted) return await ended
    await this.#listen()
    await this.#register()
    // A batch takes what is ready now, and that is also what a dead worker left, and what waited for a worker like this.
    if (this.#options.batch) await this.#parking.letGo(this.#stop.signal).then(async () => { await this.#sweep() }).catch((error: unknown) => { this.#outage.failed(error, SWEEPING) })
    if (!this.#stop.signal.aborted) {
      this.#quarantine.announce()
      this.#opened = true
      for (const loop of this.#loops) loop.start()
      this.#claimer.wake()
    }
    const reason = await ended
    await this.#close(reason)
    return reason
  }

  async #close (reason: EndReason): Promise<void> {
    this.#stop.abort()
    const loops = this.#loops.map(async (loop) => { await loop.stop() })
    await stopWorker({
      reason,
      claimer: this.#claimer,
      slots: this.#slots,
      sessions: this.#sessions,
      registering: this.#registering,
      role: this.#role,
      log: this.#log,
      graceMs: this.#options.shutdownGrace,
      now: this.#now.signal
    })
    await Promise.all([...loops, this.#listener?.close(), this.#isolation?.then(async (isolation) => { await isolation.close() })])
    this.#log.info({ worker: this.id, reason, attempts: this.#slots.started }, 'worker stopped')
    this.#session = null
  }

  async #listen (): Promise<void> {
    if (!this.#options.listen) return
    const { queueName, excludeQueues } = this.#options
    try {
      this.#listener = await this.#backend.store.listen(({ queue }) => {
        if (queue !== null && ((queueName !== null && !queueName.includes(queue)) || excludeQueues.includes(queue))) return
        this.#activity += 1
        this.#claimer.wake()
      })
    } catch (error) {
      this.#log.warn({ err: error }, 'the worker cannot be woken and relies on polling')
    }
  }

  /** Take a lease, under an id of its own; again and again until the database answers or the worker is stopped. */
  async #register (): Promise<void> {
    const { lease, maxBlock, workerId, concurrency, queueName, excludeQueues } = this.#options
    const { store, alias } = this.#backend
    const origin = threadStoreOf(store)
    if (origin === null) this.#log.warn("this database cannot be opened a second time, so the lease is renewed on the tasks' own event loop: a task that blocks it for longer than the lease may be run twice")
    while (!this.#stop.signal.aborted) {
      try {
        const session = await Session.open({
          store,
          origin,
          label: workerId,
          backend: alias,
          leaseMs: lease,
          maxBlockMs: maxBlock,
          pipe: this.#role.pipe,
          quarantine: this.#role.supervised,
          tasks: () => this.#host.registry.names(),
          log: this.#log,
          outage: this.#outage,
          onLost: (lost, marginMs) => { this.#onLost(lost, marginMs) },
          onCancelled: (of, ids) => { this.#slots.cancel(of, ids) },
          onWritten: () => { this.#onWritten() }
        })
        this.#outage.over(REGISTERING)
        this.#sessions.add(session)
        await this.#role.onRegistered(session.id)
        if (session.lost) continue
        this.#session = session
        this.#log.info({ worker: session.id, backend: alias, queues: queueName ?? 'all', ...(excludeQueues.length > 0 && { excludeQueues }), concurrency }, 'worker ready')
        return
      } catch (error) {
        await pause(this.#outage.failed(error, REGISTERING), this.#stop.signal)
      }
    }
  }

  #room (): Room | null {
    const { runs } = this.#slots
    if (!this.#opened || this.#ending !== null || this.#retiring || this.#session === null || this.#session.lost || this.#slots.stuck > 0) return null
    if (this.#quarantine.wanted) return this.#slots.empty ? { limit: 1, start: 1, free: 1 } : null
    for (const { reporter } of this.#sessions) if (reporter.behind) return null
    if (runs.size === 0 && this.#isIdle()) this.#lookedAt = this.#activity
    return this.#slots.room()
  }

  /** A look found less than there was room for: in a batch, that may have been all. */
  async #onDry (): Promise<void> {
    if (!this.#isIdle()) return
    if (this.#quarantine.alone) return this.#quarantine.done()
    if (!this.#options.batch || this.#ending !== null) return
    if (this.#lookedAt !== this.#activity) this.#claimer.wake() // something happened since that look began
    else if (!await this.#quarantine.look().catch(() => true) && this.#isIdle() && this.#lookedAt === this.#activity) this.#end('drained')
  }

  #isIdle (): boolean {
    return this.#slots.empty && [...this.#sessions].every(({ reporter }) => reporter.idle)
  }

  #onFree (run: Run): void {
    this.#activity += 1
    if (run.row.limited === true) this.#limitFreed = true
    this.#slots.free(run)
    this.#slots.pump()
    this.#claimer.look()
    this.#checkEnd()
  }

  /** All that was reported is written. */
  #onWritten (): void {
    this.#activity += 1
    if (!this.#progressed && this.#slots.started > 0) {
      this.#progressed = true
      this.#role.onProgress()
    }
    this.#slots.pump()
    const freed = this.#limitFreed
    this.#limitFreed = false
    if (freed || (this.#options.batch && this.#isIdle())) this.#claimer.wake()
    else this.#claimer.look()
    this.#checkEnd()
  }

  /**
   * An attempt goes on although it was told to end. It is not run again while it lives, so nothing more is claimed here:
   * the others end, and then the process is given up, where there is somebody to replace it.
   */
  #onStuck (run: Run): void {
    this.#slots.stick()
    const { id, task } = run.row
    this.#log.error({ worker: run.session.id, id, task }, this.#role.supervised
      ? 'an attempt ignores its signal: this process claims nothing more, and is replaced when the others have ended'
      : 'an attempt ignores its signal: this worker claims nothing more until it has settled')
    this.#checkEnd()
  }

  /** See PoolWatch. Where nobody replaces this process, it goes on trying. */
  #onBroken (): void {
    if (!this.#role.supervised || this.#ending !== null) return
    this.#log.error({ worker: this.id }, "the database cannot be reached with this process's own connections, although it answers over others: the process is replaced")
    this.#end('broken')
  }

  #checkEnd (): void {
    const { runs, stuck } = this.#slots
    if (stuck > 0 && stuck === runs.size) {
      const { supervised } = this.#role
      if (supervised || this.#options.batch || this.#slots.spent) this.#end('stuck')
    } else if (this.#slots.spent && this.#isIdle()) {
      this.#end('spent')
    } else if (this.#retiring && this.#isIdle()) {
      this.#end('retired')
    }
  }

  #onLost (session: Session, marginMs: number): void {
    this.#log.error({ worker: session.id }, 'the lease is lost: attempts are aborted, and the worker registers anew')
    this.#slots.abort('lease-lost', session)
    this.#slots.release(session)
    void session.lease.stop()
    setTimeout(() => {
      // What ignores its signal could run beside its next attempt elsewhere.
      if ([...this.#slots.runs].some((run) => run.session === session && !run.committed)) this.#role.die()
    }, marginMs).unref()
    if (this.#session !== session) return
    this.#session = null
    this.#registering = this.#register().then(() => { this.#claimer.forgetCursors(); this.#claimer.wake() })
  }

  async #sweep (): Promise<void> {
    if (await this.#rescuer.runOnce() > 0) this.#activity += 1
    await this.#quarantine.look()
    this.#claimer.turnAllBack()
    this.#claimer.wake()
    this.#outage.over(SWEEPING)
    for (const session of this.#sessions) {
      // What was lost and is written off is done with.
      if (!session.lost || !session.reporter.idle || [...this.#slots.runs].some((run) => run.session === session)) continue
      await session.deregister() // nothing of it is left here, and its lease may not have run out yet
      this.#sessions.delete(session)
      this.#role.onDeregistered(session.id)
    }
  }
}
