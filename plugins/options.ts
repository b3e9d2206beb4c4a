import type { FastifyReply, FastifyRequest } from 'fastify'
import type { BackendOptions } from '../lib/backends/backends.js'
import type { AnyTask, Duration } from '../lib/core/task.js'
import type { TaskResult } from '../lib/core/result.js'
import type { WorkerOptions } from '../lib/worker/options.js'

/** When what `request.tasks` collected is stored: after the response, or before the reply leaves. */
export type FlushOn = 'onResponse' | 'onSend'

/** Options of the plugin. What is given here wins over the environment. */
export interface FastifyTasksOptions {
  /** Tasks of this app; more may come by `app.tasks.add()`. */
  tasks?: readonly AnyTask[] | undefined
  /** Backends by their aliases; `default` is made from the environment where it is not given here. */
  backends?: Readonly<Record<string, BackendOptions>> | undefined
  /** Run a worker in the server process once it listens; options are those of `createWorker`. Default: false. */
  worker?: boolean | WorkerOptions | undefined
  /** False: read no environment variable. Default: true. */
  env?: boolean | undefined
  /** When the tasks of a request leave. Default: `onResponse`. A route may differ: `config: { tasks: { flushOn } }`. */
  flushOn?: FlushOn | undefined
  /** How long a flush after the response is tried again. Default: 10 s. */
  flushRetry?: Duration | undefined
  /**
   * True drops what a request collected, and rolls its transaction back. Default: its handler or a hook threw, or its
   * reply is a 5xx.
   */
  discardOn?: ((request: FastifyRequest, reply: FastifyReply) => boolean | Promise<boolean>) | undefined
  /** Called once for a flush that failed for good, with the results that were not stored. */
  onFlushError?: ((error: Error, results: TaskResult[]) => unknown) | undefined
  /** Level of the log line of a success, or `silent`. Default: `info`. */
  taskLogLevel?: string | undefined
}

/** What a route may say in its `config`: `{ tasks: { flushOn, transaction } }`. */
export interface RouteTasksConfig {
  flushOn?: FlushOn | undefined
  /** True, or the alias of the backend, for `request.tasks.transaction()`. */
  transaction?: boolean | string | undefined
}
