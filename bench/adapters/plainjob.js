import Database from 'better-sqlite3'
import { JobStatus, better, defineQueue, defineWorker } from 'plainjob'
import { versionOf } from './version.js'

export const version = () => `plainjob ${versionOf('plainjob')}`

const TYPE = 'noop'
const SILENT = { error: console.error, warn () {}, info () {}, debug () {} }

export async function openProducer (url, settings) {
  const queue = open(url, settings)
  return {
    blocks: true,
    enqueue: async (payload) => { queue.add(TYPE, payload) },
    enqueueMany: async (payloads) => { queue.addMany(TYPE, payloads) },
    unfinished: async () => queue.countJobs({ status: JobStatus.Pending }) + queue.countJobs({ status: JobStatus.Processing }) > 0,
    close: async () => { queue.close() }
  }
}

export async function openWorker (url, settings, run) {
  const queue = open(url, settings)
  const worker = defineWorker(TYPE, async ({ data }) => { await run(JSON.parse(data)) }, { queue, ...loggerOf(settings), ...settings.worker })
  const running = worker.start()
  return async () => {
    await worker.stop()
    await running
    queue.close()
  }
}

function open (url, settings) {
  return defineQueue({ connection: better(new Database(url.slice('sqlite:'.length))), ...loggerOf(settings) })
}

function loggerOf ({ silent }) {
  return silent === true ? { logger: SILENT } : {}
}
