import { start, within } from '../processes/call.js'
import { now, pause } from '../processes/clock.js'

const LOOK_MS = 5 // how often it is looked whether all endings are stored
const SPARE_MS = 30_000 // beyond the limit of a call, before the process is taken for stuck

/**
 * An empty place for one contestant, with its processes. The producer is started first: it makes the tables.
 */
export class Stage {
  #place
  #contestant
  #processes = []

  static async open (places, contestant) {
    const stage = new Stage()
    stage.#contestant = contestant
    stage.#place = await places.open(contestant.database)
    return stage
  }

  async producer () {
    return await this.#start('processes/producer.js')
  }

  /** @param {{ every?: number, tells?: boolean, sampled?: boolean, settings?: object }} [options] - see processes/worker.js; `settings` in the place of the contestant's */
  async worker (options = {}) {
    return await this.#start('processes/worker.js', { every: 0, tells: false, sampled: false, ...options }, this.#contestant.workerFlags)
  }

  async server () {
    return await this.#start('processes/server.js')
  }

  get url () {
    return this.#place.url
  }

  /** Milliseconds of CPU that the database server has taken so far; null where it cannot be told. */
  async cpu () {
    return await this.#place.cpu()
  }

  async settle () {
    await this.#place.settle()
  }

  async close () {
    for (const process of this.#processes.reverse()) await process.end()
    await this.#place.close()
  }

  async #start (script, options, flags) {
    const { adapter, settings } = this.#contestant
    const process = await start(script, { adapter, url: this.#place.url, settings, ...options }, flags)
    this.#processes.push(process)
    return process
  }
}

/** Until so many tasks have run, or the limit; a process that does not answer by then is an error. */
export async function until (worker, count, limit) {
  return await within(worker.call('until', count, limit), limit + SPARE_MS, 'the worker did not answer')
}

/** Until every ending is stored, too; answers the moment. */
export async function stored (producer, limit) {
  const end = now() + limit
  while (now() < end) {
    const asked = now()
    if (!await producer.call('unfinished')) return asked
    await pause(LOOK_MS)
  }
  throw new Error(`endings were not stored within ${limit} ms`)
}
