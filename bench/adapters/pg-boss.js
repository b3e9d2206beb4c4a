import pg from 'pg'
import { PgBoss } from 'pg-boss'
import { versionOf } from './version.js'

export const version = () => `pg-boss ${versionOf('pg-boss')}`

const QUEUE = 'noop'

export async function openProducer (url, settings) {
  const boss = await open(url, settings)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return {
    enqueue: async (payload) => { await boss.send(QUEUE, payload) },
    enqueueMany: async (payloads) => { await boss.insert(QUEUE, payloads.map((data) => ({ data }))) },
    unfinished: async () => (await client.query("SELECT EXISTS (SELECT 1 FROM pgboss.job WHERE state < 'completed') AS unfinished")).rows[0].unfinished,
    close: async () => {
      await client.end()
      await boss.stop({ graceful: false })
    }
  }
}

export async function openWorker (url, settings, run) {
  const boss = await open(url, settings)
  await boss.work(QUEUE, { ...settings.work }, async (jobs) => { await Promise.all(jobs.map(({ data }) => run(data))) })
  return async () => { await boss.stop({ graceful: false }) }
}

async function open (url, settings) {
  const boss = new PgBoss({ connectionString: url, ...settings.boss })
  boss.on('error', (error) => { console.error(error.message) })
  await boss.start()
  await boss.createQueue(QUEUE, { ...settings.queue })
  return boss
}
