import type { FastifyInstance } from 'fastify'
import { hostOf } from '../core/host.js'
import { INVALID_OPTION } from '../core/errors.js'
import type { BuildApp } from './child.js'
import { takeRole } from './child-role.js'
import { EmbeddedWorker } from './embedded-worker.js'
import { workerHelp } from './help.js'
import { checkWorkerOptions, resolveWorkerOptions, workerOptionsFromEnv, workerOptionsFromFlags, type WorkerOptions } from './options.js'
import { supervise } from './supervisor.js'

export type { WorkerOptions } from './options.js'
export type { BuildApp } from './child.js'

/** A worker inside this process, made by {@link createWorker}. */
export interface TaskWorker {
  /** Random at each boot; null while the worker has no lease. */
  readonly id: string | null
  /**
   * Work. Resolves when there is nothing ready any more (`batch`), after `maxTasks` attempts, or after `stop()`. A
   * database that is away is waited for.
   * @throws FST_TASKS_WORKER_RUNNING on a second call
   */
  run (): Promise<void>
  /** Stop in order: claim nothing more, give running attempts `shutdownGrace`, hand back the rest. May be called again. */
  stop (): Promise<void>
}

/** What `runWorker` may be told in code; flags win over it, and it wins over `TASKS_WORKER_*`. */
export interface RunWorkerOptions extends WorkerOptions {
  /** The flags; `process.argv.slice(2)` unless said otherwise. */
  argv?: readonly string[] | undefined
}

/**
 * Make a worker that runs the tasks of this app in this process: beside a server, or in a test. `app.close()` stops it.
 *
 * @param app - has the plugin fastify-tasks registered and is ready
 * @throws FST_TASKS_INVALID_OPTION
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import fastifyTasks from 'fastify-tasks'
 * import { createWorker } from 'fastify-tasks/worker'
 *
 * const app = Fastify()
 * await app.register(fastifyTasks, { backends: { default: { backend: 'database', url: 'sqlite::memory:' } } })
 * await app.ready()
 * const worker = createWorker(app, { concurrency: 4, batch: true })
 * await worker.run()
 * await app.close()
 * ```
 */
export function createWorker (app: FastifyInstance, options: WorkerOptions = {}): TaskWorker {
  const host = hostOf(app)
  const checked = checkWorkerOptions(options)
  if (checked.processes > 1) throw new INVALID_OPTION('processes', 'one worker in code is one process; runWorker and the command line start several')
  return new EmbeddedWorker(host, checked)
}

/**
 * Run workers for an app until they are told to stop: reads the flags and `TASKS_WORKER_*`, starts `--processes` worker
 * processes of this same script, in each of which `buildApp` is called and the app made ready (it never listens), and
 * replaces those that die. SIGTERM and SIGINT stop in order. Sets `process.exitCode`: 0, 1 where the app does not boot,
 * 2 where the flags are wrong.
 *
 * @example
 * ```ts
 * // worker.js
 * import Fastify from 'fastify'
 * import { runWorker } from 'fastify-tasks/worker'
 *
 * async function buildApp () {
 *   return Fastify() // with the plugin fastify-tasks and its tasks
 * }
 * await runWorker(buildApp)
 * ```
 */
export async function runWorker (buildApp: BuildApp, { argv = process.argv.slice(2), ...code }: RunWorkerOptions = {}): Promise<void> {
  if (typeof buildApp !== 'function') throw new INVALID_OPTION('buildApp', 'must be a function that gives the Fastify instance')
  const role = takeRole()
  try {
    const flags = workerOptionsFromFlags(argv)
    if (flags.help) {
      process.stdout.write(workerHelp())
      return
    }
    const options = resolveWorkerOptions({ flags: flags.options, code, env: workerOptionsFromEnv(process.env) })
    if (role !== null) await (await import('./child.js')).liveAsChild(role, buildApp, options)
    else process.exitCode = await supervise(options)
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'FST_TASKS_INVALID_OPTION') throw error
    console.error(`fastify-tasks: ${(error as Error).message}\nSee --help.`)
    process.exitCode = 2
  }
}
