const FILES = new Set(['ours', 'graphile-worker', 'pg-boss', 'bullmq', 'plainjob', 'bare-postgres', 'bare-sqlite'])

/**
 * An adapter is a module with
 * - `version()`: what is measured,
 * - `openProducer(url, settings)`: `{ enqueue(payload), enqueueMany(payloads), unfinished(), close() }`, and `blocks: true`
 *   where an enqueue blocks the event loop,
 * - `openWorker(url, settings, run)`: starts to work, calls `run(payload)` for each task, which has ended when what that
 *   answers has settled, and answers how to stop,
 * - `addRoutes(app, adapter, spec)`, where the library has a way of its own to be used in Fastify.
 *
 * A payload is `{ n, at }`, two numbers, and perhaps `ms`: how long its task takes. Tasks are kept unless the library deletes them.
 */
export async function adapterOf (name) {
  if (!FILES.has(name)) throw new Error(`There is no adapter ${name}`)
  return await import(`./${name}.js`)
}
