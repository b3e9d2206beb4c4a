import assert from 'node:assert/strict'
import Fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify'
import type { BackendOptions } from '../../backends/backends.js'
import type { BaseTaskBackend } from '../../backends/base.js'
import type { FastifyTasksOptions } from '../../../plugins/options.js'
import type { AnyTask } from '../../core/task.js'
import type { TaskResult } from '../../core/result.js'
import { DatabaseBackend } from '../../backends/database.js'
import { fastifyTasks } from '../../index.js'
import { drain } from '../drain.js'

/** A backend with nothing in it, and how to be rid of it. */
export interface BackendUnderTest {
  /** What an app gives the plugin for one alias, such as `{ backend: MyBackend, options }`. */
  readonly definition: BackendOptions
  close (): Promise<void>
}

/** What {@link testBackend} needs. */
export interface BackendSuite {
  /** Put before the name of every test. */
  readonly name?: string | undefined
  readonly test: import('../runner.js').TestRunner
  /** Called once a test. */
  readonly create: () => Promise<BackendUnderTest>
  /** False for a backend that only takes tasks down and never runs them. Default: true. */
  readonly runs?: boolean | undefined
  /**
   * Run everything that is ready, one at a time, in order. Default: a worker in this process for a DatabaseBackend;
   * nothing for others, which run tasks within `enqueue`.
   */
  readonly drain?: ((app: FastifyInstance) => Promise<void>) | undefined
}

export type Chapter = (test: BackendTest, suite: BackendSuite) => void

export type BackendTest = (name: string, body: (bench: BackendBench) => Promise<void>) => void

/** Milliseconds that a test waits for a task to end. */
const DEADLINE_MS = 60_000

/** What the tests of a backend work with: apps that have it as `default`. */
export class BackendBench {
  readonly #definition: BackendOptions
  readonly #drain: (app: FastifyInstance) => Promise<void>
  readonly #apps: FastifyInstance[] = []

  constructor (subject: BackendUnderTest, suite: BackendSuite) {
    this.#definition = subject.definition
    this.#drain = suite.drain ?? drainOurs
  }

  /** An app that is ready, with these tasks. */
  async app (tasks: readonly AnyTask[], { queues, fastify, ...options }: { queues?: BackendOptions['queues'], fastify?: FastifyServerOptions } & FastifyTasksOptions = {}): Promise<FastifyInstance> {
    const app = Fastify(fastify)
    this.#apps.push(app)
    await app.register(fastifyTasks, { ...options, env: false, tasks, backends: { default: { ...this.#definition, ...(queues !== undefined && { queues }) } } })
    await app.ready()
    return app
  }

  /** The backend of an app, to ask for its flags. */
  backend (app: FastifyInstance): BaseTaskBackend {
    return app.tasks.backend()
  }

  /** Let the backend run what is ready. */
  async drain (app: FastifyInstance): Promise<void> {
    await this.#drain(app)
  }

  /** Run until this result has ended, and answer it as it then is. */
  async settle<Result extends TaskResult> (app: FastifyInstance, result: Result): Promise<Result> {
    const deadline = performance.now() + DEADLINE_MS
    if (!result.isFinished && this.backend(app).supportsGetResult) await result.refresh()
    while (!result.isFinished) {
      assert.ok(performance.now() < deadline, `the result ended within ${DEADLINE_MS} ms; it is ${result.status}`)
      await this.#drain(app)
      await result.refresh()
      if (!result.isFinished) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return result
  }

  async close (): Promise<void> {
    await Promise.all(this.#apps.map(async (app) => await app.close()))
  }
}

async function drainOurs (app: FastifyInstance): Promise<void> {
  if (app.tasks.backend() instanceof DatabaseBackend) await drain(app, { concurrency: 1 })
}

/** True where the call was refused because the backend cannot do this at all. */
export async function isUnsupported (call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call()
    return false
  } catch (error) {
    if ((error as { code?: unknown }).code === 'FST_TASKS_UNSUPPORTED') return true
    throw error
  }
}
