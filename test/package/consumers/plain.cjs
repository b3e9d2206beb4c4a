'use strict'

const assert = require('node:assert/strict')
const Fastify = require('fastify')
const fastifyTasks = require('fastify-tasks')

// require() gives the plugin, with everything else as its properties.

assert.equal(typeof fastifyTasks, 'function')
assert.equal(fastifyTasks.default, fastifyTasks)
assert.equal(fastifyTasks.fastifyTasks, fastifyTasks)

import('fastify-tasks').then(async (api) => {
  assert.equal(api.default, fastifyTasks)
  for (const [name, value] of Object.entries(api)) assert.equal(fastifyTasks[name], value, `${name} is one and the same by require and by import`)
  for (const entry of ['fastify-tasks/worker', 'fastify-tasks/testing']) {
    const required = require(entry)
    for (const [name, value] of Object.entries(await import(entry))) assert.equal(required[name], value, `${entry} ${name}`)
  }
  const add = fastifyTasks.task('math.add', async (a, b) => a + b)
  const app = Fastify()
  app.register(fastifyTasks, { env: false, tasks: [add], backends: { default: { backend: 'immediate' } } })
  await app.ready()
  assert.equal((await app.tasks.enqueue(add, 20, 22)).returnValue, 42)
  await app.close()
  console.log('plain consumer ran')
})
