import type { FastifyInstance } from 'fastify'
import type { Knex } from 'knex'
import { BaseTaskBackend, type BackendConfig, type QueueLimits } from './base.js'
import { DatabaseBackend } from './database.js'
import { DummyBackend } from './dummy.js'
import { ImmediateBackend } from './immediate.js'
import { INVALID_BACKEND, STORE_UNAVAILABLE } from '../core/errors.js'
import { after } from '../core/timer.js'

export type BackendClass = new (config: BackendConfig<any>) => BaseTaskBackend<any>
export type BackendName = 'database' | 'immediate' | 'dummy'

/** One entry of the plugin's `backends`. */
export interface BackendOptions {
  /** Default: `database` where a `url` or `knex` is given, else what `TASKS_BACKEND` says. */
  backend?: BackendName | BackendClass | undefined
  /** Of a database: `sqlite:PATH`, `sqlite::memory:` or `postgres://…`. Default: `TASKS_DATABASE_URL`. */
  url?: string | undefined
  /** Of a database: the app's own Knex instance, shared and not closed, in place of `url`. */
  knex?: Knex | undefined
  /** Of a database: the schema that its tables live in. */
  schema?: string | undefined
  /** Of a database: what the names of its tables begin with. Default: `tasks_`. */
  tablePrefix?: string | undefined
  /** Queues that may be enqueued to, with their limits. Default: any. */
  queues?: readonly string[] | Readonly<Record<string, QueueLimits>> | undefined
  /** Passed to the backend; a built-in one checks them. */
  options?: object | undefined
}

/** As above, checked, with the environment's defaults filled in. */
export interface BackendSettings extends Omit<BackendOptions, 'backend'> {
  readonly backend: BackendName | BackendClass
}

const BUILT_IN: Readonly<Record<BackendName, BackendClass>> = Object.freeze({
  database: DatabaseBackend,
  immediate: ImmediateBackend,
  dummy: DummyBackend
})

export const BACKEND_NAMES = Object.freeze(Object.keys(BUILT_IN) as BackendName[])

/** The backends of one app, by alias. */
export class Backends {
  readonly #backends = new Map<string, BaseTaskBackend<any>>()

  /** @throws FST_TASKS_INVALID_BACKEND, FST_TASKS_INVALID_CONFIG */
  constructor (app: FastifyInstance, settings: ReadonlyMap<string, BackendSettings>) {
    for (const [alias, { backend, ...config }] of settings) {
      const Backend = typeof backend === 'string' ? BUILT_IN[backend] : backend
      const made = new Backend({ ...config, queues: config.queues ?? [], options: config.options ?? {}, alias, app } as BackendConfig<any>)
      if (!(made instanceof BaseTaskBackend)) throw new INVALID_BACKEND(`backends.${alias}.backend does not extend BaseTaskBackend.`)
      this.#backends.set(alias, made)
    }
  }

  /** @throws FST_TASKS_INVALID_BACKEND */
  get (alias: string): BaseTaskBackend<any> {
    const backend = this.#backends.get(alias)
    if (backend === undefined) throw new INVALID_BACKEND(`There is no backend '${alias}'; there is ${[...this.#backends.keys()].join(', ')}.`)
    return backend
  }

  has (alias: string): boolean {
    return this.#backends.has(alias)
  }

  [Symbol.iterator] (): IterableIterator<BaseTaskBackend<any>> {
    return this.#backends.values()
  }

  /**
   * Open all, within `timeout` milliseconds; where one fails, those that were opened are closed again, within that time
   * too or else behind the caller's back. Returns what `check()` found, in sentences.
   * @throws FST_TASKS_STORE_UNAVAILABLE where it takes longer
   */
  async open (timeout = Infinity): Promise<Array<{ alias: string, problem: string }>> {
    const opened: Array<BaseTaskBackend<any>> = []
    const problems: Array<{ alias: string, problem: string }> = []
    let failed = false
    const open = async (): Promise<void> => {
      for (const backend of this) {
        if (failed) return // late: this one would not be closed
        opened.push(backend)
        await backend.open()
        for (const problem of await backend.check()) problems.push({ alias: backend.alias, problem })
      }
    }
    let stop = (): void => {}
    const late = new Promise<never>((_resolve, reject) => {
      if (timeout !== Infinity) stop = after(timeout, () => { reject(new STORE_UNAVAILABLE('be opened', `it did not answer within ${timeout} ms`)) })
    })
    try {
      await Promise.race([open(), late])
    } catch (error) {
      failed = true
      // What hangs while it opens hangs while it closes, and the caller is to hear of it in time.
      await Promise.race([closeAll(opened), late.catch(() => {})])
      throw error
    } finally {
      stop()
    }
    return problems
  }

  /** Close all, whatever one of them throws. Returns what they threw. */
  async close (): Promise<Error[]> {
    return await closeAll([...this])
  }
}

async function closeAll (backends: ReadonlyArray<BaseTaskBackend<any>>): Promise<Error[]> {
  const closed = await Promise.allSettled(backends.map(async (backend) => { await backend.close() }))
  return closed.flatMap((outcome) => outcome.status === 'rejected' ? [outcome.reason as Error] : [])
}
