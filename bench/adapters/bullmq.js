import { Queue, Worker } from 'bullmq'
import { versionOf } from './version.js'

export const version = () => `bullmq ${versionOf('bullmq')}`

const QUEUE = 'bench'
const NAME = 'noop'

export async function openProducer (url, settings) {
  const queue = new Queue(QUEUE, { connection: connectionOf(url), ...settings.queue })
  await queue.waitUntilReady()
  return {
    enqueue: async (payload) => { await queue.add(NAME, payload) },
    enqueueMany: async (payloads) => { await queue.addBulk(payloads.map((data) => ({ name: NAME, data }))) },
    unfinished: async () => {
      const { waiting, active, prioritized } = await queue.getJobCounts('waiting', 'active', 'prioritized')
      return waiting + active + prioritized > 0
    },
    close: async () => { await queue.close() }
  }
}

export async function openWorker (url, settings, run) {
  const worker = new Worker(QUEUE, async ({ data }) => { await run(data) }, { connection: { ...connectionOf(url), maxRetriesPerRequest: null }, ...settings.worker })
  worker.on('error', (error) => { console.error(error.message) })
  await worker.waitUntilReady()
  return async () => { await worker.close(true) }
}

function connectionOf (url) {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) }
}
