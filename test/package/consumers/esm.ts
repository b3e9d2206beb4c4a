import assert from 'node:assert/strict'
import Fastify from 'fastify'
import fastifyTasks, {
  BaseTaskBackend, DatabaseBackend, DummyBackend, FatalTaskError, ImmediateBackend, TaskResultStatus, errors, task,
  fastifyTasks as named, type EnqueueRequest, type Task, type TaskContext, type TaskResult, type UsingOptions
} from 'fastify-tasks'
import { createWorker, runWorker } from 'fastify-tasks/worker'
import { createContext, drain, enqueued, testBackend, testStore } from 'fastify-tasks/testing'

// A consumer's program: it is compiled as strictly as TypeScript goes, and run. Never imported by a test.

const add = task('math.add', async (a: number, b: number) => a + b)
const greet = task('greet', { takesContext: true, retry: 2, timeout: undefined }, async (context: TaskContext, name: string) => {
  if (name === '') throw new FatalTaskError('nobody')
  return { greeting: `hello ${name}`, attempt: context.attempt }
})
const quiet = task('quiet', (flag?: boolean) => { void flag })
const typed: Task<[number, number], Promise<number>> = add

// Wrong arguments do not compile.
async function refused (): Promise<void> {
  // @ts-expect-error a string is no number
  await add.enqueue('1', 2)
  // @ts-expect-error one argument is missing
  await add.enqueue(1)
  // @ts-expect-error one argument too many
  await greet.enqueue('ann', 'bob')
  // @ts-expect-error the context is not enqueued
  await greet.enqueue({} as TaskContext, 'ann')
  // @ts-expect-error no such option
  add.using({ prioritty: 1 })
  // @ts-expect-error a definition takes no runAfter
  task('later', { runAfter: '5m' }, async () => {})
  // @ts-expect-error the arguments of each must fit
  await add.enqueueMany([[1, 2], [3]])
}
void refused

// Options that are undefined are options that were left out, under exactOptionalPropertyTypes too.
const nothing: UsingOptions = { priority: undefined, queueName: undefined, backend: undefined, runAfter: undefined, retry: undefined, uniqueKey: undefined, tags: undefined, transaction: undefined }
assert.equal(add.using(nothing).priority, 0)

class NullBackend extends BaseTaskBackend<{ label: string }> {
  override readonly supportsPriority = true
  override async enqueue (requests: readonly EnqueueRequest[]): Promise<TaskResult[]> {
    return requests.map((request) => this.createResult(request, { enqueuedAt: new Date() }))
  }
}

for (const Backend of [ImmediateBackend, DummyBackend, DatabaseBackend, NullBackend]) assert.equal(typeof Backend, 'function')
assert.equal(named, fastifyTasks)
for (const fn of [createWorker, runWorker, testBackend, testStore, createContext]) assert.equal(typeof fn, 'function')

const app = Fastify()
await app.register(fastifyTasks, {
  env: false,
  tasks: [add, greet, quiet],
  backends: { default: { backend: 'database', url: process.env['CONSUMER_DATABASE_URL'] }, none: { backend: NullBackend, options: { label: 'x' } } }
})
app.post<{ Body: { name: string } }>('/greet', async (request, reply) => {
  const result = request.tasks.enqueue(greet, request.body.name)
  // @ts-expect-error a number is no name
  request.tasks.enqueue.bind(request.tasks, greet, 1)
  return await reply.code(202).send({ id: result.id })
})
await app.ready()

assert.equal(await typed(20, 22), 42)
const sum = await app.tasks.enqueue(add, 20, 22)
const posted = await app.inject({ method: 'POST', url: '/greet', payload: { name: 'ann' } })
assert.equal(posted.statusCode, 202)
await app.tasks.flushed()
assert.equal((await enqueued(app)).length, 2)
await drain(app)
await sum.refresh()
const value: number = sum.returnValue
assert.equal(value, 42)
assert.equal(sum.status, TaskResultStatus.SUCCESSFUL)
const first: number = sum.args[0]
assert.equal(first, 20)
const hello = await greet.getResult(posted.json<{ id: string }>().id)
const greeting: string = hello.returnValue.greeting
assert.equal(greeting, 'hello ann')
const none: null = (await (await quiet.enqueue()).wait({ timeout: 1 }).catch(() => ({ returnValue: null }))).returnValue
assert.equal(none, null)
await assert.rejects(async () => await add.getResult('no such id'), errors.RESULT_NOT_FOUND)
await app.close()
console.log('esm consumer ran')
