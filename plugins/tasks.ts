import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { setHost } from '../lib/core/host.js'
import { AppTasks } from './app-tasks.js'
import { configure, type Settings } from './config.js'
import { markClosers } from './mark-closers.js'
import type { FastifyTasksOptions } from './options.js'
import { RequestCollections } from './request-collections.js'
import { TaskCore } from './task-core.js'
import type {} from './types.js'

const plugin: FastifyPluginAsync<FastifyTasksOptions> = async (app, options) => {
  const settings = await configure(app, options)
  const core = new TaskCore(app, settings)
  const collections = new RequestCollections(core)
  const tasks = new AppTasks(core, collections)
  setHost(tasks, core)
  app.decorate('tasks', tasks)
  collections.install(app)

  try {
    for (const task of options.tasks ?? []) tasks.add(task)
    for (const warning of settings.warnings) app.log.warn(warning)
    for (const { alias, problem } of await core.backends.open(openTimeout(app))) app.log.warn({ backend: alias }, problem)
  } catch (error) {
    core.registry.release() // this app will not open, and its tasks may be registered with another
    throw error
  }

  markClosers(app)
  app.addHook('onClose', async () => {
    await collections.close()
    await core.close()
  })
  if (settings.worker !== null) startWorker(core, settings.worker)
}

/**
 * The plugin: `app.tasks`, `request.tasks`, and the backends that the options and the environment say.
 *
 * @throws (by `ready()`) FST_TASKS_INVALID_CONFIG, FST_TASKS_INVALID_BACKEND, FST_TASKS_INVALID_TASK,
 * FST_TASKS_DUPLICATE_TASK, FST_TASKS_DRIVER_MISSING, FST_TASKS_STORE_UNAVAILABLE, FST_TASKS_MIGRATION_REQUIRED,
 * FST_TASKS_SCHEMA_TOO_NEW, FST_TASKS_DATABASE_VERSION
 * @example
 * ```ts
 * import Fastify from 'fastify'
 * import fastifyTasks, { task } from 'fastify-tasks'
 *
 * const add = task('math.add', async (a: number, b: number) => a + b)
 * const app = Fastify()
 * await app.register(fastifyTasks, { tasks: [add] })
 * ```
 */
export const fastifyTasks = fp(plugin, { name: 'fastify-tasks', fastify: '5.x' })

/**
 * Milliseconds. Fastify gives a plugin `pluginTimeout` (10 s; 0 for ever) and then says no more than that it was late: a
 * database that does not answer is told of by its own error, a little earlier.
 */
function openTimeout ({ initialConfig: { pluginTimeout = 10_000 } }: FastifyInstance): number {
  return pluginTimeout === 0 ? Infinity : pluginTimeout * 0.9
}

/** Once the server listens, which it never does in tests that only inject. */
function startWorker ({ app, backends }: TaskCore, options: NonNullable<Settings['worker']>): void {
  const backend = backends.get(options.backend ?? 'default')
  if (!('store' in backend)) {
    // Not an error: with the immediate backend of development the same app works without one.
    app.log.info({ backend: backend.alias }, 'no worker is started in this process: its backend stores nothing that one could run')
    return
  }
  app.addHook('onListen', async () => {
    // Imported here: an app that only enqueues loads no worker.
    const { createWorker } = await import('../lib/worker/index.js')
    createWorker(app, options).run().catch((err: unknown) => { app.log.error({ err }, 'the embedded worker has ended') })
  })
}
