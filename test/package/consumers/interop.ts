import assert from 'node:assert/strict'
import Fastify from 'fastify'
import fastifyTasks, { task, fastifyTasks as named } from 'fastify-tasks'
import * as everything from 'fastify-tasks'

// A CommonJS consumer that writes import. Never imported by a test.

const add = task('math.add', async (a: number, b: number) => a + b)

async function main (): Promise<void> {
  assert.equal(named, fastifyTasks)
  assert.equal(everything.task, task)
  const app = Fastify()
  await app.register(fastifyTasks, { env: false, tasks: [add], backends: { default: { backend: 'immediate' } } })
  await app.ready()
  const value: number = (await app.tasks.enqueue(add, 20, 22)).returnValue
  assert.equal(value, 42)
  // @ts-expect-error a string is no number
  await app.tasks.enqueue(add, '20', 22).catch(() => {})
  await app.close()
  console.log('interop consumer ran')
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
