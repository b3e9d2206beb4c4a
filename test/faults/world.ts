import { closeSync, openSync, writeSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openStore } from '#lib/store/index.js'
import { isAlive } from '../support/alive.ts'
import { startProcess, type TestProcess } from '../support/processes.ts'
import { eventually } from '../support/eventually.ts'
import { monotonic, parseLedger, readLedgers, type Entry } from './ledger.ts'
import type { HostClock } from './host-clock.ts'
import type { Site } from './site.ts'

export interface WorldSettings {
  readonly seed: number
  readonly leaseMs: number
  readonly sweepMs: number
  readonly graceMs: number
  readonly workers: number
  /** Mean pause of the enqueuer between two requests. */
  readonly pauseMs: number
  /** Dates that are wrong and jump; null for true ones. */
  readonly clock: HostClock | null
}

/** A supervisor with its worker processes, or an enqueuer: replaced when it is gone. */
interface Place {
  readonly role: string
  /** By whose date it goes. */
  readonly host: string
  process: TestProcess
  gone: boolean
}

// By a fault; or by SIGTERM before it was up, when the signal itself ends it.
const ENDED_FROM_OUTSIDE: ReadonlySet<unknown> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT'])
const BUSY_MS = 4_000
const RESTART_MS = 150 // what an operator's process manager takes to notice

/** Processes around one database, and the ways to hurt them. Each fault is written to a ledger of its own. */
export class World {
  readonly settings: WorldSettings
  readonly site: Site
  readonly folder: string
  readonly #file: number
  readonly #places: Place[] = []
  readonly #after: Array<() => Promise<void>> = []
  readonly #problems: string[] = []
  /** Nothing new is asked for. */
  #draining = false
  /** Nobody is replaced. */
  #closing = false
  #kills = 0

  private constructor (site: Site, settings: WorldSettings, folder: string) {
    this.site = site
    this.settings = settings
    this.folder = folder
    this.#file = openSync(join(folder, 'faults.jsonl'), 'a')
  }

  static async open (site: Site, settings: WorldSettings): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-faults-'))
    await mkdir(join(folder, 'ledgers'))
    const world = new World(site, settings, folder)
    const store = openStore({ url: site.direct })
    await store.open() // creates the tables before anything is hurt
    await store.close()
    await world.#add('enqueuer', 'enqueuer')
    for (let count = 0; count < settings.workers; count++) await world.#add('worker', `worker${count}`)
    await eventually(async () => {
      const boots = (await world.entries()).filter(({ what }) => what === 'ready' || what === 'boot')
      if (boots.length < settings.workers + 2) throw new Error('the processes do not come up')
    }, { timeout: 90_000 })
    return world
  }

  get ledgers (): string {
    return join(this.folder, 'ledgers')
  }

  /** Processes that were killed so far. */
  get kills (): number {
    return this.#kills
  }

  /** What went wrong with the processes themselves. */
  get problems (): readonly string[] {
    return this.#problems
  }

  note (what: string, fields: Record<string, unknown> = {}): void {
    writeSync(this.#file, `${JSON.stringify({ what, at: monotonic(), pid: process.pid, ...fields })}\n`)
  }

  /** True where something of that kind is in a ledger since that moment. */
  async has (what: string, since: number): Promise<boolean> {
    return (await this.entries()).some((entry) => entry.what === what && entry.at >= since)
  }

  async entries (): Promise<Entry[]> {
    const own = parseLedger(await readFile(join(this.folder, 'faults.jsonl'), 'utf8'))
    return [...own, ...await readLedgers(this.ledgers)].sort((a, b) => a.at - b.at)
  }

  /** The pids under a place: the supervisor first where it has worker processes. */
  async pids (role: 'worker' | 'enqueuer', index = 0): Promise<number[]> {
    const place = this.#places.filter((place) => place.role === role)[index]
    if (place === undefined || place.gone) return []
    const root = place.process.pid
    const children: number[] = []
    for (const name of await readdir(this.ledgers)) {
      const pid = Number(name.split('.')[1])
      if (!name.startsWith('worker') || pid === root || !isAlive(pid)) continue
      const [boot] = await this.#ledgerOf(pid)
      if (boot?.['ppid'] === root) children.push(pid)
    }
    return [root, ...children]
  }

  /** Those that have begun an attempt. */
  async working (pids: readonly number[]): Promise<number[]> {
    const begun = await Promise.all(pids.map(async (pid) => (await this.#ledgerOf(pid)).some(({ what }) => what === 'start')))
    return pids.filter((_, index) => begun[index])
  }

  /** The pids under a worker once it has something to lose: an attempt under way. After a few seconds whatever there is. */
  async busy (index: number): Promise<number[]> {
    const deadline = monotonic() + BUSY_MS
    for (;;) {
      const pids = await this.pids('worker', index)
      const open = await Promise.all(pids.slice(1).map(async (pid) => openAttempts(await this.#ledgerOf(pid))))
      if (open.some((count) => count > 0) || monotonic() > deadline) return pids
      await sleep(20)
    }
  }

  /** SIGKILL, and the moment of it. */
  kill (pids: readonly number[]): void {
    for (const pid of pids) {
      if (!signal(pid, 'SIGKILL')) continue
      this.#kills += 1
      this.note('kill', { of: pid })
    }
  }

  /** Stop processes for a while, as a suspended machine would. */
  async pause (pids: readonly number[], milliseconds: number): Promise<void> {
    // Noted as stopped from before, and as going on from after: the signals take a moment to be sent.
    for (const pid of pids) if (isAlive(pid)) this.note('pause', { of: pid })
    for (const pid of pids) signal(pid, 'SIGSTOP')
    await sleep(milliseconds)
    for (const pid of pids) signal(pid, 'SIGCONT')
    for (const pid of pids) this.note('resume', { of: pid })
  }

  async term (index: number, signals: number, between: number): Promise<void> {
    const pids = await this.pids('worker', index)
    const [root] = pids
    if (root === undefined) return
    for (let count = 0; count < signals && isAlive(root); count++) {
      if (count > 0) await sleep(between)
      const name = count % 2 === 0 ? 'SIGTERM' : 'SIGINT'
      if (count === 0) for (const pid of pids) this.note('term', { of: pid })
      signal(root, name)
    }
  }

  /** Set the date of a host, wrong or right. */
  async setDate (host: string, offsetMs: number): Promise<void> {
    this.note('skew', { host, by: offsetMs })
    await this.settings.clock?.set(host, offsetMs)
  }

  /** The hosts that processes run on. */
  get hosts (): string[] {
    return [...new Set(this.#places.map(({ host }) => host))]
  }

  /** Nothing is hurt any more, nothing new comes, and workers go on until nothing is left to do; or until the deadline. */
  async drain (timeoutMs: number): Promise<{ left: number, waitedMs: number }> {
    const started = monotonic()
    this.#draining = true
    for (const place of this.#places.filter(({ role }) => role === 'enqueuer')) {
      if (place.gone) continue
      place.process.signal('SIGTERM')
      const { code, signal } = await place.process.exit()
      if (code !== 0 && !ENDED_FROM_OUTSIDE.has(signal)) this.#problems.push(`the enqueuer ended with ${String(code ?? signal)}: ${place.process.stderr.slice(-5).join(' | ')}`)
    }
    const left = await this.site.waitUntilEmpty(timeoutMs)
    if (left > 0) for (const { role, process, gone } of this.#places) this.#problems.push(`the ${role} ${gone ? 'is gone' : `is there as ${process.pid}`} and said last: ${process.stderr.slice(-8).join(' | ')}`)
    return { left, waitedMs: monotonic() - started }
  }

  /** Stop the workers in order. They must leave nothing behind and say that all went well. */
  async stop (): Promise<void> {
    this.#closing = true
    for (const place of this.#places) {
      if (place.gone) continue
      place.process.signal('SIGTERM')
    }
    for (const place of this.#places) {
      if (place.gone) continue
      const { code, signal } = await place.process.exit()
      if (code !== 0 && !ENDED_FROM_OUTSIDE.has(signal)) this.#problems.push(`a ${place.role} ended with ${String(code ?? signal)} after SIGTERM: ${place.process.stderr.slice(-5).join(' | ')}`)
    }
  }

  async close (): Promise<void> {
    this.#closing = true
    await Promise.all(this.#after.splice(0).map(async (end) => { await end() }))
    closeSync(this.#file)
  }

  async forget (): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }

  async #ledgerOf (pid: number): Promise<Entry[]> {
    return parseLedger(await readFile(join(this.ledgers, `worker.${pid}.jsonl`), 'utf8').catch(() => ''))
  }

  async #add (role: string, name: string): Promise<void> {
    // A file is used on one host: its processes share a date, and where it is the database's clock, that one jumps.
    const host = this.site.name === 'sqlite' ? 'the host' : name
    const place = { role, host, gone: true } as unknown as Place
    this.#places.push(place)
    await this.#launch(place)
  }

  #isWanted ({ role, gone }: Place): boolean {
    return gone && !this.#closing && !(role === 'enqueuer' && this.#draining)
  }

  async #launch (place: Place): Promise<void> {
    const { settings, site } = this
    const clock = await settings.clock?.env(place.host)
    const args = ['--lease', `${settings.leaseMs}`, '--sweep', `${settings.sweepMs}`, '--interval', '300', '--concurrency', '8', '--shutdown-grace', `${settings.graceMs}`]
    place.gone = false
    place.process = startProcess({ after: (end) => { this.#after.push(end) } }, fileURLToPath(new URL(`processes/${place.role}.js`, import.meta.url)), {
      args: place.role === 'worker' ? args : [],
      env: {
        TASKS_DATABASE_URL: site.url,
        ...(site.pooled === true && { TASKS_WORKER_LISTEN: 'false' }),
        LEDGER: this.ledgers,
        ROLE: place.role,
        SEED: String(settings.seed + this.#after.length),
        PAUSE_MS: String(settings.pauseMs),
        ...clock
      }
    })
    const { process } = place
    void process.exit({ timeout: 2 ** 31 - 1 }).then(({ code, signal: by }) => {
      place.gone = true
      if (code !== 0 && !ENDED_FROM_OUTSIDE.has(by)) this.#problems.push(`a ${place.role} ended with ${String(code ?? by)}: ${process.stderr.slice(-5).join(' | ')}`)
      setTimeout(() => { if (this.#isWanted(place)) void this.#launch(place) }, RESTART_MS)
    }, () => {})
  }
}

function openAttempts (entries: readonly Entry[]): number {
  return entries.filter(({ what }) => what === 'start').length - entries.filter(({ what }) => what === 'end').length
}

function signal (pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false // gone
  }
}
