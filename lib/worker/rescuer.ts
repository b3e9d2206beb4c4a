import type { TasksHost } from '../core/host.js'
import type { DatabaseBackend } from '../backends/database.js'

/** Takes back what dead workers hold, and tells of those that are ended by it. */
export class Rescuer {
  readonly #host: TasksHost
  readonly #backend: DatabaseBackend

  constructor (host: TasksHost, backend: DatabaseBackend) {
    this.#host = host
    this.#backend = backend
  }

  /** One sweep. Answers how many rows may be claimed again by it. */
  async runOnce (): Promise<number> {
    const { store, alias, defaults } = this.#backend
    const { workers, charged, released } = await store.rescue({ backend: alias, crashBudget: defaults.crashBudget })
    if (workers.length + charged.length + released.length > 0) {
      this.#host.log.warn({ workers, charged: charged.map(({ id }) => id), released: released.length }, 'tasks of dead workers were taken back')
    }
    for (const row of charged) {
      if (row.status === 'READY' || !this.#host.events.wants('onFinished', row.status)) continue
      try {
        this.#host.events.emit('onFinished', this.#backend.resultOf(await this.#backend.decodeRow(row)))
      } catch (error) {
        this.#host.log.error({ err: error, id: row.id }, 'a task died for good, and its result cannot be read for onFinished')
      }
    }
    return charged.length + released.length
  }
}
