import { describe, expect, test } from 'tstyche'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fastifyTasks, { BaseTaskBackend, errors, fastifyTasks as named, task, TaskResultStatus, type EnqueueRequest, type FastifyTasksOptions, type TaskResult } from 'fastify-tasks'
import { createWorker, runWorker, type WorkerOptions } from 'fastify-tasks/worker'
import { createContext, drain, enqueued, testBackend, testStore, type TestRunner } from 'fastify-tasks/testing'
import type { TaskContext } from 'fastify-tasks'
import type { test as nodeTest } from 'node:test'

declare const app: FastifyInstance
declare const request: FastifyRequest
const add = task('math.add', async (a: number, b: number) => a + b)
const build = task('reports.build', { takesContext: true }, async (context, month: string) => `${context.attempt} ${month}`)

describe('app.tasks', () => {
  test('enqueues with the types of the task', () => {
    expect(app.tasks.enqueue(add, 1, 2)).type.toBe<Promise<TaskResult<number, [a: number, b: number]>>>()
    expect(app.tasks.enqueue(build, '2026-11')).type.toBe<Promise<TaskResult<string, [month: string]>>>()
    expect(app.tasks.enqueue(add.using({ priority: 5 }), 1, 2)).type.toBe<Promise<TaskResult<number, [a: number, b: number]>>>()
    // @ts-expect-error a string is no number
    void app.tasks.enqueue(add, '1', 2)
    // @ts-expect-error one argument is missing
    void app.tasks.enqueue(add, 1)
    // @ts-expect-error the context is not enqueued
    void app.tasks.enqueue(build, {} as TaskContext, '2026-11')
  })

  test('enqueues many with the types of the task', () => {
    expect(app.tasks.enqueueMany(add, [[1, 2]])).type.toBe<Promise<Array<TaskResult<number, [a: number, b: number]>>>>()
    // @ts-expect-error a string is no number
    void app.tasks.enqueueMany(add, [['1', 2]])
  })

  test('enqueues by a name with any arguments', () => {
    expect(app.tasks.enqueue('math.add', 1, 'two')).type.toBe<Promise<TaskResult>>()
  })

  test('takes an alias as the last argument of what it reads and changes', () => {
    expect(app.tasks.getResult('id', { backend: 'other' })).type.toBe<Promise<TaskResult>>()
    expect(app.tasks.cancel({ tag: 'note:42' }, { backend: undefined })).type.toBe<Promise<number>>()
    expect(app.tasks.cancel('id')).type.toBe<Promise<number>>()
    expect(app.tasks.list).type.toBeCallableWith({ status: TaskResultStatus.FAILED, queueName: 'q', task: undefined, tag: 't', limit: 5, after: 'id' })
    expect(app.tasks.list).type.not.toBeCallableWith({ status: 'DONE' })
    expect(app.tasks.addHook).type.not.toBeCallableWith('onSomething', () => {})
  })
})

describe('request.tasks', () => {
  test('answers the result at once, with the types of the task', () => {
    expect(request.tasks.enqueue(add, 1, 2)).type.toBe<TaskResult<number, [a: number, b: number]>>()
    // @ts-expect-error a string is no number
    request.tasks.enqueue(add, '1', 2)
  })
})

describe('the plugin', () => {
  test('is the default and a named export, and knows its options', () => {
    expect(fastifyTasks).type.toBe(named)
    expect(app.register).type.toBeCallableWith(fastifyTasks, { tasks: [add, build], flushOn: 'onSend', env: false, backends: { default: { backend: 'dummy' } } })
    expect<FastifyTasksOptions>().type.not.toBeAssignableFrom<{ flushOn: 'never' }>()
    expect<FastifyTasksOptions>().type.toBeAssignableFrom<{ tasks: undefined, backends: undefined, worker: undefined, env: undefined, flushOn: undefined }>()
  })

  test('takes a class of one\'s own as a backend', () => {
    class MyBackend extends BaseTaskBackend<{ url: string }> {
      override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
        expect(this.options.url).type.toBe<string>()
        return requests.map((request) => this.createResult(request, { enqueuedAt: new Date() }))
      }
    }
    expect(app.register).type.toBeCallableWith(fastifyTasks, { backends: { mine: { backend: MyBackend, options: { url: 'x' } } } })
  })

  test('lets a route say how its tasks leave', () => {
    expect(app.get).type.toBeCallableWith('/', { config: { tasks: { flushOn: 'onSend' as const, transaction: true } } }, async () => '')
  })

  test('names its errors', () => {
    expect(new errors.CLOSED('x')).type.toBeAssignableTo<Error>()
    expect(errors.RESULT_NOT_FOUND).type.toBeConstructableWith('id')
  })
})

describe('the worker', () => {
  test('is made of an app, or of a function that builds one', () => {
    expect(createWorker).type.toBeCallableWith(app, { concurrency: 4, batch: true, queueName: undefined })
    expect(createWorker).type.not.toBeCallableWith(app, { concurency: 4 })
    expect(runWorker).type.toBeCallableWith(async () => app)
    expect(runWorker).type.toBeCallableWith(() => app)
    expect<WorkerOptions>().type.toBeAssignableFrom<{ lease: '30s', sweep: 5000, listen: false }>()
  })
})

describe('what tests use', () => {
  test('takes the runners that there are', () => {
    expect<TestRunner>().type.toBeAssignableFrom<typeof nodeTest>()
    expect(testStore).type.toBeCallableWith({ test: (name: string, body: () => Promise<void>) => { void name; void body }, open: async () => null as never })
    expect(testBackend).type.toBeCallableWith({ test: {} as { test: typeof nodeTest }, create: async () => ({ definition: {}, close: async () => {} }) })
  })

  test('runs, reads and calls', () => {
    expect(drain(app)).type.toBe<Promise<void>>()
    expect(enqueued(app, { backend: undefined })).type.toBeAssignableTo<Promise<TaskResult[]>>()
    expect(build(createContext(app, { attempt: 2 }), '2026-11')).type.toBe<Promise<string>>()
  })
})
