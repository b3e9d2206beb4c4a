// A process that enqueues what it is told to: forked by processes.test.ts.
import Fastify from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'

const once = task('once', async () => {})
const app = Fastify()
await app.register(fastifyTasks, { env: false, tasks: [once], backends: { default: { backend: 'database', url: process.argv[2] } } })

// One flush carries all that a request has collected, in the order of the keys.
app.post('/', async (request) => {
  return request.body.keys.map((uniqueKey) => request.tasks.enqueue(once.using({ uniqueKey }), process.pid).id)
})
await app.ready()

const commands = {
  async enqueue ({ options, times }) {
    const settled = await Promise.allSettled(Array.from({ length: times }, async (_, index) => await once.using(options).enqueue(index)))
    return settled.map(({ value, reason }) => reason === undefined ? { id: value.id, isDuplicate: value.isDuplicate, status: value.status } : { code: reason.code })
  },
  async flush ({ keys, times }) {
    await Promise.all(Array.from({ length: times }, async (_, index) => {
      const order = index % 2 === 0 ? keys : [...keys].reverse()
      await app.inject({ method: 'POST', url: '/', payload: { keys: order } })
    }))
    await app.tasks.flushed()
    return []
  }
}

process.on('message', async ({ command, ...request }) => {
  if (command === 'close') {
    await app.close()
    process.disconnect()
  } else {
    process.send(await commands[command](request))
  }
})
process.send('ready')
