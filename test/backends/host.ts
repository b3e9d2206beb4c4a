import Fastify, { type FastifyInstance } from 'fastify'
import { randomUUID } from 'node:crypto'
import type { BaseTaskBackend, EnqueueRequest } from '#lib/backends/base.js'
import { setHost } from '#lib/core/host.js'
import { encodeArguments } from '#lib/core/json.js'
import type { AnyTask } from '#lib/core/task.js'
import { Events, type HookName } from '#lib/run/events.js'
import { createLog } from '../run/attempts.ts'

export interface TestHost {
  readonly app: FastifyInstance
  readonly events: Events
  readonly lines: any[]
  /** Names of the events, with the status that each told of. */
  readonly told: string[]
}

/** As much of the plugin as a backend needs, so that it can be tested by itself. */
export function createHost (...tasks: AnyTask[]): TestHost {
  const app = Fastify()
  const { log, lines } = createLog(['warn', 'error'])
  const events = new Events({ log })
  const told: string[] = []
  for (const name of ['onEnqueued', 'onStarted', 'onRetried', 'onFinished'] satisfies HookName[]) {
    events.addHook(name, (result) => { told.push(`${name} ${result.status}`) })
  }
  const facade = { task: (name: string) => tasks.find((task) => task.name === name) ?? null }
  app.decorate('tasks', facade as any)
  setHost(facade, { app, log, events } as any)
  return { app, events, lines, told }
}

export function requestOf (task: AnyTask, ...args: unknown[]): EnqueueRequest {
  const { text, value } = encodeArguments(args, { maxBytes: 10_000, maxDepth: 20 })
  return Object.freeze({ id: randomUUID(), task, args: value, argsText: text })
}

/** Enqueue once, as the plugin would. */
export async function enqueue (backend: BaseTaskBackend<any>, task: AnyTask, ...args: unknown[]): Promise<any> {
  backend.validateTask(task)
  const [result] = await backend.enqueue([requestOf(task, ...args)])
  return result
}
