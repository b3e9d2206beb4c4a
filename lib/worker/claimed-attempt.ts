import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Knex } from 'knex'
import type { DatabaseBackend } from '../backends/database.js'
import type { TasksHost } from '../core/host.js'
import type { TaskResult } from '../core/result.js'
import { optionsOf, type AnyTask } from '../core/task.js'
import type { AttemptRequest } from '../run/attempt.js'
import type { Isolation } from '../run/isolated.js'
import type { Run } from './runner.js'
import { commitWith } from './transaction.js'

/** What all attempts of a worker have in common. */
export interface AttemptSettings {
  readonly host: TasksHost
  readonly backend: DatabaseBackend
  /** Made when it is first asked for. */
  readonly isolation: () => Promise<Isolation>
  readonly progress: (run: Run, text: string) => Promise<void>
}

/** The attempt that a claimed row is run by. A class, or each would make its verbs anew; a short task calls none of them. */
export class ClaimedAttempt implements AttemptRequest {
  readonly task: AnyTask
  readonly args: readonly unknown[]
  readonly taskResult: TaskResult
  readonly timeout: number | null
  readonly timeoutGrace: number
  readonly isolated: AttemptRequest['isolated']
  readonly #run: Run
  readonly #settings: AttemptSettings

  constructor (settings: AttemptSettings, run: Run, task: AnyTask, args: readonly unknown[], taskResult: TaskResult, { timeout, timeoutGrace }: Pick<AttemptRequest, 'timeout' | 'timeoutGrace'>) {
    this.task = task
    this.args = args
    this.taskResult = taskResult
    this.timeout = timeout
    this.timeoutGrace = timeoutGrace
    const { isolation } = optionsOf(task)
    this.isolated = isolation === null ? undefined : async (request, verbs) => await (await settings.isolation()).run(request, isolation, verbs)
    this.#run = run
    this.#settings = settings
  }

  get app (): FastifyInstance { return this.#settings.host.app }
  get log (): FastifyBaseLogger { return this.#settings.host.log }
  get attempt (): number { return this.#run.row.attempts }
  get maxResultBytes (): number { return this.#settings.backend.maxResultBytes }
  get maxDepth (): number { return this.#settings.backend.maxDepth }
  get encode (): AttemptRequest['encode'] { return this.#settings.backend.encode }

  now (): number {
    return this.#settings.backend.now()
  }

  async progress (text: string): Promise<void> {
    await this.#settings.progress(this.#run, text)
  }

  async transaction<T> (fn: (trx: Knex.Transaction) => Promise<T>, encode: (value: T) => Promise<string>): Promise<T> {
    const { session, row } = this.#run
    return await commitWith(this.#settings.backend.store, session.id, row, fn, encode)
  }
}
