import type { FastifyBaseLogger } from 'fastify'
import type { Store } from '../store/store.js'
import type { WorkerRole } from './role.js'

export interface QuarantineSettings {
  readonly store: Store
  readonly backend: string
  /** Null for all. */
  readonly queueName: readonly string[] | null
  readonly excludeQueues: readonly string[]
  readonly tasks: () => readonly string[]
  readonly role: WorkerRole
  readonly log: FastifyBaseLogger
  /** Look for rows anew: the kind that is taken has changed. */
  readonly wake: () => void
}

/**
 * Tasks during which a process has died twice. They run in a process of their own; a worker that can have none leaves
 * them to those that can, and where no such worker lives it runs them alone, with nothing else beside.
 */
export class Quarantine {
  readonly #settings: QuarantineSettings
  #wanted = false

  constructor (settings: QuarantineSettings) {
    this.#settings = settings
  }

  /** True while this worker is to take nothing else, and no more than one at a time. */
  get wanted (): boolean {
    return this.#wanted
  }

  get alone (): boolean {
    return this.#wanted
  }

  /** Said once, at boot, by a worker that cannot give a task a process of its own. */
  announce (): void {
    const { role, log } = this.#settings
    if (!role.supervised) log.info('this worker has no process of its own to give: tasks that killed their process twice are left to workers started by runWorker or the command line, and run alone here while none is live')
  }

  /** Answers true where this worker has begun to run quarantined tasks alone. */
  async look (): Promise<boolean> {
    const { store, backend, role, log, wake } = this.#settings
    if (role.quarantined || this.#wanted) return this.#wanted
    if (!await this.#isNeeded()) return false
    if (role.supervised) {
      role.onQuarantine()
      return false
    }
    const { workers } = await store.stats(backend)
    if (workers.some(({ quarantine }) => quarantine)) return false
    log.warn('running quarantined tasks alone: no live worker can give them a process of their own')
    this.#wanted = true
    wake()
    return true
  }

  async #isNeeded (): Promise<boolean> {
    const { store, backend, tasks } = this.#settings
    const { lanes, now, limited = false } = await store.lanes({ backend, quarantined: true })
    if (lanes.some(({ queue, due }) => due <= now && this.#takes(queue))) return true
    if (!limited) return false
    const { heads } = await store.limitedHeads({ backend, tasks: tasks(), quarantined: true, after: null })
    return heads.some(({ queue, full }) => !full && this.#takes(queue))
  }

  /** A process of its own for a queue that this worker leaves alone would find nothing to do. */
  #takes (queue: string): boolean {
    const { queueName, excludeQueues } = this.#settings
    return (queueName === null || queueName.includes(queue)) && !excludeQueues.includes(queue)
  }

  /** There are none left: back to the others. */
  done (): void {
    this.#wanted = false
    this.#settings.wake()
  }
}
