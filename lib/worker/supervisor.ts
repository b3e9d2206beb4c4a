import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { INVALID_OPTION } from '../core/errors.js'
import { RESTART_BACKOFF_MAX_MS, RESTART_BACKOFF_MIN_MS, RESTART_HEALTHY_MS } from '../core/limits.js'
import { Backoff } from './backoff.js'
import { forkChild, tell, type Child } from './forked-child.js'
import { HeirTime } from './heir-time.js'
import { PIPE_FD, type ChildMessage, type ChildRole, type Estate, type PipeMessage } from './messages.js'
import type { CheckedWorkerOptions } from './options.js'
import { TIMER_MAX_MS } from './pause.js'
import { hearSignals } from './signals.js'
import { memoryLimit, Size } from './size.js'

const HURRY_MS = 1_000 // what a process whose loop is blocked gets to hear of a second signal
const ANSWER_MS = 3_000 // and to answer when the grace after the first is over: a busy machine may keep it from its turn
const BOOT_KILLS_MAX = 5 // ended from outside, they are started again; an app that ends its process whenever it boots is given up

/**
 * Starts worker processes, replaces those that die, passes signals on, and sees to it that what a dead process held is
 * claimable again. It runs no tasks and opens no database. Resolves with the exit code.
 */
export async function supervise (options: CheckedWorkerOptions): Promise<number> {
  const script = process.argv[1]
  if (script === undefined) throw new INVALID_OPTION('the script', 'runWorker needs to be called in a file that node was started with')
  return await new Supervisor(script, options).run()
}

class Supervisor {
  readonly #script: string
  readonly #options: CheckedWorkerOptions
  readonly #children = new Set<Child>()
  readonly #backoff = new Backoff(RESTART_BACKOFF_MIN_MS, RESTART_BACKOFF_MAX_MS)
  readonly #restarts = new Map<NodeJS.Timeout, ChildRole>()
  /** Of processes that are gone, not yet given to another. */
  #estates: Estate[] = []
  #left: number | null
  #stopping = 0
  #everReady = false
  /** Processes that a signal ended before any was ready, or so it seems. */
  #killed = 0
  /** Settles the last estates. */
  #heir: Child | null = null
  readonly #heirTime = new HeirTime()
  #code = 0
  #watch: NodeJS.Timeout | null = null
  #lookedAt = performance.now()
  #end: (code: number) => void = () => {}

  constructor (script: string, options: CheckedWorkerOptions) {
    this.#script = script
    this.#options = options
    this.#left = options.maxTasks
  }

  async run (): Promise<number> {
    const ended = new Promise<number>((resolve) => { this.#end = resolve })
    const unhear = hearSignals(() => { this.#stop() })
    for (let count = 0; count < this.#options.processes; count++) this.#start('worker')
    this.#watch = setInterval(() => { this.#lookAfter() }, Math.max(100, this.#options.lease / 4))
    try {
      return await ended
    } finally {
      clearInterval(this.#watch)
      unhear()
    }
  }

  /** Null where the system refuses it: then another try is made after a pause, but for an heir. */
  #start (role: ChildRole, maxTasks = this.#left): Child | null {
    const child = forkChild(this.#script, role, { estates: this.#estates, maxTasks, size: new Size(memoryLimit(this.#options.maxMemory, this.#options.processes)) })
    if (child === null) {
      if (role !== 'heir') this.#again(role, this.#backoff.next())
      return null
    }
    this.#estates = []
    const { process: forked } = child
    this.#children.add(child)
    forked.on('message', (message: ChildMessage) => { this.#hear(child, message) })
    const pipe = createInterface({ input: forked.stdio[PIPE_FD] as Readable })
    pipe.on('line', (line) => { this.#hearPipe(child, line) })
    // 'close', and not 'exit': what it wrote last has been read.
    forked.once('close', (code, signal) => { this.#gone(child, code, signal) })
    return child
  }

  #hear (child: Child, message: ChildMessage): void {
    switch (message.type) {
      case 'booted': this.#heirTime.booted(message.bootMs); break
      case 'settled': child.inherited = []; break
      case 'registered':
        child.workers.add(message.worker)
        child.aliveAt = performance.now()
        child.ready = true
        this.#everReady = true
        if (child.size.measureBoot(message.rssBytes)) console.error(`fastify-tasks: the app needs more memory than a worker process is to have: the limit is raised to ${child.size.limitMb} MB`)
        tell(child, { type: 'noted' })
        break
      case 'stopping':
        child.stopping ||= message.now
        child.answered = true
        break
      case 'deregistered': child.workers.delete(message.worker); break
      case 'estate':
        child.workers.delete(message.estate.worker)
        child.estates.push(message.estate)
        break
      case 'quarantine': this.#quarantine(); break
      case 'progress': child.progressed = true; break
      case 'alive': child.aliveAt = performance.now(); break
      case 'ended': child.ended = message; break
      case 'hello': // see forkChild
    }
  }

  #hearPipe (child: Child, line: string): void {
    let message: PipeMessage
    try {
      message = JSON.parse(line) as PipeMessage
    } catch {
      return // cut off by the end of the process
    }
    child.aliveAt = performance.now()
    if (message.type !== 'blocked') return this.#weigh(child, message.rssBytes)
    const { worker, blockedMs, endings } = message
    console.error(`fastify-tasks: worker ${worker} stood still for ${blockedMs} ms and is replaced${endings.length > 0 ? ': a task blocked it beyond its timeout' : ''}`)
    // A known culprit: the others are handed back uncharged. Otherwise all are charged, since any of them may be it.
    if (endings.length === 0) return
    child.workers.delete(worker)
    child.estates.push({ worker, endings, died: false, started: null })
  }

  #gone (child: Child, code: number | null, signal: NodeJS.Signals | null): void {
    this.#children.delete(child)
    const died = [...child.workers].map((worker) => ({ worker, endings: [], died: !child.spared, started: child.record?.read(worker) ?? null }))
    child.record?.close()
    this.#estates.push(...child.inherited, ...child.estates, ...died)
    const { ended, role } = child
    // A limit is for each process; what took the place of another has what that left over.
    if (ended !== null && this.#left !== null && this.#options.processes === 1 && role === 'worker') this.#left = Math.max(0, this.#left - ended.started)
    if (this.#stopping > 0 || role === 'heir') return this.#settle()
    if (ended?.replace === true && this.#left !== 0) return this.#again(role, child.progressed ? RESTART_BACKOFF_MIN_MS : this.#backoff.next())
    if (ended !== null) return this.#settle()
    const fromOutside = signal !== null || code === 0 // one that boots ends with 0 where it hears the signal
    if (!this.#everReady && role === 'worker' && (!fromOutside || ++this.#killed > BOOT_KILLS_MAX)) return this.#fail(code)
    console.error(`fastify-tasks: a ${role} process ended with ${signal ?? `code ${String(code)}`}; starting another`)
    if (child.progressed || performance.now() - child.startedAt > RESTART_HEALTHY_MS) this.#backoff.reset()
    this.#again(role, this.#backoff.next())
  }

  #again (role: ChildRole, wait: number): void {
    const timer = setTimeout(() => {
      this.#restarts.delete(timer)
      if (this.#stopping === 0) this.#start(role)
    }, wait)
    this.#restarts.set(timer, role)
  }

  #startNobody (): void {
    for (const timer of this.#restarts.keys()) clearTimeout(timer)
    this.#restarts.clear()
  }

  /** The app does not boot: that will not mend itself. Its error was printed by the child. */
  #fail (code: number | null): void {
    this.#code = code === null || code === 0 ? 1 : code
    this.#stopping = 2
    this.#startNobody()
    for (const child of this.#children) child.process.kill('SIGKILL')
    this.#settle()
  }

  /** One at a time. */
  #quarantine (): void {
    const roles = [...[...this.#children].map(({ role }) => role), ...this.#restarts.values()]
    if (this.#stopping === 0 && !roles.includes('quarantine')) this.#start('quarantine', null)
  }

  /** Over when nobody is left, and nothing is left behind. */
  #settle (): void {
    if (this.#restarts.size > 0 || this.#children.size > 0) return
    // One try: an heir that fails leaves it to the sweep of another worker.
    if (this.#estates.length > 0 && this.#code === 0 && this.#heir === null) {
      this.#heir = this.#start('heir', null)
      if (this.#heir !== null) return this.#heirTime.limit(this.#heir, this.#stopping > 1)
    }
    if (this.#estates.length > 0) {
      const workers = this.#estates.map(({ worker }) => worker).join(', ')
      console.error(`fastify-tasks: what ${workers} held could not be handed back: other workers take it back when the lease has run out`)
      this.#code ||= 1
    }
    this.#end(this.#code)
  }

  #stop (): void {
    this.#stopping += 1
    this.#startNobody()
    for (const child of this.#children) {
      if (child.ready || child.role === 'heir') tell(child, { type: 'stop', now: this.#stopping > 1 })
      else child.process.kill('SIGKILL') // it holds nothing yet
    }
    if (this.#stopping === 1) {
      setTimeout(() => { this.#askAgain() }, Math.min(this.#options.shutdownGrace, TIMER_MAX_MS)).unref()
    } else {
      onceRead(HURRY_MS, () => { this.#hurry() })
      if (this.#heir !== null) this.#heirTime.limit(this.#heir, true) // one that starts later has its time from then on
    }
    if (this.#children.size === 0) this.#settle()
  }

  /** The grace is over, and attempts are aborted. That takes a loop that turns: again and again until all are gone. */
  #askAgain (): void {
    for (const child of this.#children) {
      child.answered = false
      tell(child, { type: 'stop', now: false })
    }
    onceRead(ANSWER_MS, () => {
      this.#spare((child) => child.answered)
      if (this.#children.size > 0) this.#askAgain()
    })
  }

  #hurry (): void {
    this.#spare((child) => child.stopping)
  }

  /** A loop that is blocked, or deaf to us, hears nothing: what it runs is handed back by another. */
  #spare (hears: (child: Child) => boolean): void {
    for (const child of this.#children) {
      if (!child.ready || hears(child) || child.ended !== null) continue
      child.spared = true
      child.process.kill('SIGKILL')
    }
  }

  /** A process that has grown too large is replaced in order, or, where it grows on, before it takes others with it. */
  #weigh (child: Child, rssBytes: number): void {
    const { size, process: { pid } } = child
    const verdict = child.ready ? size.judge(rssBytes) : 'fits'
    if (verdict === 'fits' || this.#stopping > 0 || (verdict === 'retire' && child.retiring)) return
    const megabytes = Math.round(rssBytes / 2 ** 20)
    if (verdict === 'kill') {
      console.error(`fastify-tasks: worker process ${String(pid)} has grown to ${megabytes} MB, far above its limit of ${size.limitMb} MB, and is killed`)
      child.process.kill('SIGKILL')
      return
    }
    child.retiring = true
    console.error(`fastify-tasks: worker process ${String(pid)} has grown to ${megabytes} MB, above its limit of ${size.limitMb} MB, and is replaced when what it runs has ended`)
    tell(child, { type: 'retire' })
  }

  /** A keeper that is silent for a lease means a process that is stopped or stuck as a whole: its tasks are taken by now. */
  #lookAfter (): void {
    const now = performance.now()
    // After a pause of our own, or of the whole host, they get their time anew.
    const paused = now - this.#lookedAt > this.#options.lease
    this.#lookedAt = now
    for (const child of this.#children) {
      if (paused && child.aliveAt !== null) child.aliveAt = now
      if (child.aliveAt === null || now - child.aliveAt < this.#options.lease * 1.5) continue
      console.error(`fastify-tasks: worker process ${String(child.process.pid)} has been silent for ${Math.round(now - child.aliveAt)} ms and is replaced`)
      child.aliveAt = null
      child.process.kill('SIGKILL')
    }
  }
}

/** After so long, and when what has come by then is read: where this loop was late itself, answers wait behind its timers. */
function onceRead (milliseconds: number, look: () => void): void {
  setTimeout(() => { setImmediate(look) }, milliseconds).unref()
}
