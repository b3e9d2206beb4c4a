import { Logger, makeWorkerUtils, run as runWorker } from 'graphile-worker'
import { versionOf } from './version.js'

export const version = () => `graphile-worker ${versionOf('graphile-worker')}`

const IDENTIFIER = 'noop'

export async function openProducer (url, settings) {
  const utils = await makeWorkerUtils({ connectionString: url, preset: presetOf(settings) })
  await utils.migrate()
  return {
    enqueue: async (payload) => { await utils.addJob(IDENTIFIER, payload) },
    enqueueMany: async (payloads) => { await utils.addJobs(payloads.map((payload) => ({ identifier: IDENTIFIER, payload }))) },
    unfinished: async () => await utils.withPgClient(async (client) => {
      const { rows } = await client.query('SELECT EXISTS (SELECT 1 FROM graphile_worker._private_jobs) AS unfinished')
      return rows[0].unfinished
    }),
    close: async () => { await utils.release() }
  }
}

export async function openWorker (url, settings, run) {
  const runner = await runWorker({
    connectionString: url,
    preset: presetOf(settings),
    noHandleSignals: true,
    taskList: { [IDENTIFIER]: async (payload) => { await run(payload) } }
  })
  return async () => { await runner.stop() }
}

function presetOf ({ worker, silent }) {
  return { worker: { ...worker, ...(silent === true && { logger: new Logger(() => () => {}) }) } }
}
