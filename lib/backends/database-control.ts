import { validate as isUuid } from 'uuid'
import type { BackendControl, BackendHealth, BackendStats, ListRequest, ResultPage, ResultSelection } from './control.js'
import type { DatabaseBackend } from './database.js'
import { INVALID_FILTER } from '../core/errors.js'
import { hostOf } from '../core/host.js'
import type { Row, Selection } from '../store/store.js'

/** What `app.tasks` asks of a database beyond enqueueing and reading. */
export class DatabaseControl implements BackendControl {
  readonly #backend: DatabaseBackend

  constructor (backend: DatabaseBackend) {
    this.#backend = backend
  }

  async cancel (selection: ResultSelection): Promise<number> {
    const selected = this.#selected(selection)
    if (selected === null) return 0
    await this.#backend.refuseWithinTransaction()
    const { cancelled, signalled } = await this.#backend.store.cancel(selected)
    await this.#tell(cancelled)
    return cancelled.length + signalled.length
  }

  async retry (selection: ResultSelection): Promise<number> {
    const selected = this.#selected(selection)
    if (selected === null) return 0
    await this.#backend.refuseWithinTransaction()
    return (await this.#backend.store.requeue(selected)).length
  }

  async pause (queue: string): Promise<void> {
    await this.#backend.refuseWithinTransaction()
    await this.#backend.store.pause(this.#backend.alias, queue)
  }

  async resume (queue: string): Promise<void> {
    await this.#backend.refuseWithinTransaction()
    await this.#backend.store.resume(this.#backend.alias, queue)
  }

  async list (request: ListRequest): Promise<ResultPage> {
    const { alias, store } = this.#backend
    if (request.after !== undefined && !isId(request.after)) throw new INVALID_FILTER('after must be the `next` of the page before.')
    const { enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore, ...filter } = request
    const times = Object.entries({ enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore }).flatMap(([name, moment]) => moment === undefined ? [] : [[name, moment.getTime()]])
    const { rows, next } = await store.list({ backend: alias, ...filter, ...Object.fromEntries(times) })
    // One that cannot be decoded is listed all the same: it may be what somebody is looking for.
    const fields = await Promise.all(rows.map(async (row) => await this.#backend.decodeReadable(row)))
    return { results: fields.map((each) => this.#backend.resultOf(each)), next }
  }

  async stats (): Promise<BackendStats> {
    const { queues, workers, unknownTasks, approximate } = await this.#backend.store.stats(this.#backend.alias)
    return {
      queues: Object.fromEntries(Object.entries(queues)), // a plain object, whatever the names
      workers: workers.map(({ id, lastSeen, running }) => ({ id, lastSeen: new Date(lastSeen), running })),
      unknownTasks,
      approximate
    }
  }

  async health (): Promise<BackendHealth> {
    const reasons: string[] = []
    try {
      const { queues, workers } = await this.#backend.store.stats(this.#backend.alias)
      const ready = Object.values(queues).reduce((sum, queue) => sum + (queue.paused ? 0 : queue.ready), 0)
      if (workers.length === 0 && ready > 0) reasons.push(`No worker is running, and ${ready} tasks are ready to run.`)
    } catch (error) {
      reasons.push((error as Error).message)
    }
    return { ok: reasons.length === 0, reasons }
  }

  #selected (selection: ResultSelection): Selection | null {
    const { alias } = this.#backend
    if (!('id' in selection)) return { backend: alias, ...selection }
    return isId(selection.id) ? { backend: alias, id: selection.id } : null
  }

  /** READY rows end by the cancellation itself; a running one is told of by its worker. */
  async #tell (cancelled: readonly Row[]): Promise<void> {
    const { events } = hostOf(this.#backend.app)
    if (!events.wants('onFinished', 'CANCELLED')) return
    for (const row of cancelled) events.emit('onFinished', this.#backend.resultOf(await this.#backend.decodeReadable(row)))
  }
}

/** The ids of this backend are UUIDs, in lower case on both databases: any other string is in no row. */
export function isId (id: unknown): id is string {
  return isUuid(id) && id === (id as string).toLowerCase()
}
