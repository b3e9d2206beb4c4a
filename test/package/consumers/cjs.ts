import assert = require('node:assert/strict')
import Fastify = require('fastify')
import fastifyTasks = require('fastify-tasks')
import worker = require('fastify-tasks/worker')
import testing = require('fastify-tasks/testing')

// A CommonJS consumer that uses require(). Never imported by a test.

const { task, TaskResultStatus, FatalTaskError, errors } = fastifyTasks

const add = task('math.add', async (a: number, b: number) => a + b)
const greet = task('greet', { takesContext: true }, async (context: fastifyTasks.TaskContext, name: string) => {
  if (name === '') throw new FatalTaskError()
  return `${context.attempt} ${name}`
})

async function refused (): Promise<void> {
  // @ts-expect-error a string is no number
  await add.enqueue('1', 2)
  // @ts-expect-error the context is not enqueued
  await greet.enqueue({} as fastifyTasks.TaskContext, 'ann')
}
void refused

class NullBackend extends fastifyTasks.BaseTaskBackend<{ label: string }> {
  override async enqueue (requests: readonly fastifyTasks.EnqueueRequest[]): Promise<fastifyTasks.TaskResult[]> {
    return requests.map((request) => this.createResult(request))
  }
}

async function main (): Promise<void> {
  const options: fastifyTasks.FastifyTasksOptions = {
    env: false,
    tasks: [add, greet],
    backends: { default: { backend: 'database', url: process.env['CONSUMER_DATABASE_URL'] }, none: { backend: NullBackend, options: { label: 'x' } } }
  }
  const app = Fastify()
  await app.register(fastifyTasks, options)
  await app.ready()
  const result: fastifyTasks.TaskResult<number, [number, number]> = await app.tasks.enqueue(add, 20, 22)
  await worker.createWorker(app, { batch: true }).run()
  await result.refresh()
  const value: number = result.returnValue
  assert.equal(value, 42)
  const status: fastifyTasks.TaskResultStatus = TaskResultStatus.SUCCESSFUL
  assert.equal(result.status, status)
  await greet.enqueue('ann')
  await testing.drain(app)
  await assert.rejects(async () => await add.getResult('no such id'), errors.RESULT_NOT_FOUND)
  await app.close()
  console.log('cjs consumer ran')
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
