import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { BaseTaskBackend } from '../backends/base.js'
import type { Events } from '../run/events.js'
import type { Registry } from './registry.js'
import { INVALID_OPTION } from './errors.js'

/** What the plugin built for one app, for those that run its tasks: the worker, the test kit. */
export interface TasksHost {
  readonly app: FastifyInstance
  readonly log: FastifyBaseLogger
  readonly registry: Registry
  readonly events: Events
  readonly backends: Iterable<BaseTaskBackend<any>>
  backend (alias: string): BaseTaskBackend<any>
  /** Run before the backends close when the app closes: how `app.close()` stops the workers made on it. */
  onClose (stop: () => Promise<void>): void
}

// Symbol.for, so that two copies of the package in one process find each other's hosts.
const kHost = Symbol.for('fastify-tasks.host')

/** Called once by the plugin, with what it decorates the app with. */
export function setHost (tasks: object, host: TasksHost): void {
  Object.defineProperty(tasks, kHost, { value: host })
}

/** @throws FST_TASKS_INVALID_OPTION where the app has no fastify-tasks plugin */
export function hostOf (app: FastifyInstance): TasksHost {
  const host = (app.tasks as unknown as Record<symbol, TasksHost> | undefined)?.[kHost]
  if (host === undefined) throw new INVALID_OPTION('app', 'the plugin fastify-tasks is not registered with it')
  return host
}
