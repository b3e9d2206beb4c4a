import { adapterOf } from '../adapters/adapters.js'
import { answer, spec } from './answer.js'
import { now, pause } from './clock.js'

// The process that enqueues.

answer(async () => {
  const adapter = await adapterOf(spec.adapter)
  const producer = await adapter.openProducer(spec.url, spec.settings)
  const flowing = { done: 0 }
  let proceed = () => {}

  return {
    /** Enqueue so many in batches, each of which takes `ms`; answers milliseconds. */
    async bulk (count, batch, ms = 0) {
      const began = now()
      for (let from = 0; from < count; from += batch) await producer.enqueueMany(payloads(from, Math.min(batch, count - from), ms))
      return now() - began
    },

    /** One after the other; answers how long each took, in milliseconds. */
    async one (count, limit) {
      const durations = []
      const end = now() + limit
      for (let n = 0; n < count && now() < end; n++) {
        const began = now()
        await producer.enqueue({ n, at: 0 })
        durations.push(now() - began)
      }
      return durations
    },

    /** So many callers at once, for so long; answers how many were stored and in which time. */
    async callers (count, limit) {
      const began = now()
      let stored = 0
      await Promise.all(Array.from({ length: count }, async () => {
        while (now() - began < limit) {
          await producer.enqueue({ n: stored, at: 0 })
          stored += 1
          if (producer.blocks) await new Promise(setImmediate)
        }
      }))
      return { stored, ms: now() - began }
    },

    /** So many of a kind, by so many callers at once; answers milliseconds. */
    async kind (kind, count, callers) {
      const began = now()
      let sent = 0
      await Promise.all(Array.from({ length: callers }, async () => { while (sent < count) await producer.enqueueKind(kind, { n: sent++, at: 0 }) }))
      return now() - began
    },

    /** One at a time with pauses, so that the worker is idle before each; the moment of the enqueue travels along. */
    async paced (count, pauseMs, limit) {
      const end = now() + limit
      let sent = 0
      for (; sent < count && now() < end; sent++) {
        await producer.enqueue({ n: sent, at: now() })
        await pause(pauseMs * (0.5 + Math.random()))
      }
      return sent
    },

    /** Enqueue so many, never more than `ahead` before the worker, which says by `done` how far it is. */
    async flow (total, ahead, batch) {
      for (let sent = 0; sent < total; sent += batch) {
        while (sent + batch > flowing.done + ahead) await new Promise((resolve) => { proceed = resolve })
        await producer.enqueueMany(payloads(sent, Math.min(batch, total - sent)))
      }
    },

    done (count) {
      flowing.done = count
      proceed()
    },

    unfinished: async () => await producer.unfinished(),
    close: async () => await producer.close()
  }
})

function payloads (from, count, ms = 0) {
  return Array.from({ length: count }, (_, index) => ({ n: from + index, at: 0, ...(ms > 0 && { ms }) }))
}
