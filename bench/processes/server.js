import Fastify from 'fastify'
import { adapterOf } from '../adapters/adapters.js'
import { answer, spec } from './answer.js'
import { now, pause } from './clock.js'

// A Fastify server on a port of its own: the plain route, and with an adapter two that enqueue one task a request.

answer(async () => {
  const app = Fastify({ logger: false })
  app.get('/plain', async () => ({ ok: true }))
  const adapter = spec.adapter === undefined ? null : await adapterOf(spec.adapter)
  const routes = adapter === null ? null : await (adapter.addRoutes ?? addRoutes)(app, adapter, spec)
  await app.listen({ port: 0, host: '127.0.0.1' })
  return {
    url: () => `http://127.0.0.1:${app.server.address().port}`,
    /** Wait until all that was enqueued is stored, or so many milliseconds; answers how many milliseconds it took. */
    async settle (limit) {
      const began = now()
      await Promise.race([routes?.flushed(), pause(limit)])
      return now() - began
    },
    /** How many tasks are stored so far. */
    stored: async () => await routes?.stored() ?? 0,
    async close () {
      await app.close()
      await routes?.close()
    }
  }
})

/** For a library that knows nothing of Fastify: what its users would write. */
async function addRoutes (app, adapter, { url, settings }) {
  const producer = await adapter.openProducer(url, settings)
  const pending = new Set()
  let n = 0
  let stored = 0

  async function enqueue () {
    await producer.enqueue({ n: n++, at: 0 })
    stored += 1
  }

  app.get('/before', async () => {
    await enqueue()
    return { ok: true }
  })
  app.get('/after', {
    // Nobody waits for it: a library that is slower than the requests piles them up, or refuses some.
    onResponse: async () => {
      const enqueued = enqueue().catch(() => {})
      pending.add(enqueued)
      await enqueued
      pending.delete(enqueued)
    }
  }, async () => ({ ok: true }))
  return {
    flushed: async () => { await Promise.all(pending) },
    stored: async () => stored,
    close: async () => { await producer.close() }
  }
}
