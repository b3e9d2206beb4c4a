import type { TasksHost } from '../core/host.js'
import { WORKER_RUNNING } from '../core/errors.js'
import { databaseBackend } from './backend.js'
import type { CheckedWorkerOptions } from './options.js'
import type { TaskWorker } from './index.js'
import type { Worker } from './worker.js'

/** A worker in somebody else's process. What it is made of is loaded when it is first needed: a supervisor needs none of it. */
export class EmbeddedWorker implements TaskWorker {
  readonly #host: TasksHost
  readonly #options: CheckedWorkerOptions
  #loading: Promise<Worker> | null = null
  #worker: Worker | null = null
  #running = false

  /** @throws FST_TASKS_INVALID_OPTION where the backend is not on a database */
  constructor (host: TasksHost, options: CheckedWorkerOptions) {
    databaseBackend(options.backend, host.backend(options.backend))
    this.#host = host
    this.#options = options
    host.onClose(async () => { await this.stop() })
  }

  get id (): string | null {
    return this.#worker?.id ?? null
  }

  async run (): Promise<void> {
    if (this.#running) throw new WORKER_RUNNING()
    this.#running = true
    await (await this.#load()).run()
  }

  async stop (): Promise<void> {
    await (await this.#load()).stop()
  }

  /** One promise for all, so that what was called first goes first. */
  async #load (): Promise<Worker> {
    return await (this.#loading ??= import('./worker.js').then(({ Worker }) => (this.#worker = new Worker(this.#host, this.#options))))
  }
}
