// node --import=tsx test/faults/recovery.ts --database sqlite|postgres --kills N [--lease MS] [--sweep MS]
// How long until what a killed process ran is run again: the distribution that the README prints.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Fastify from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { startProcess, type TestProcess } from '../support/processes.ts'
import { monotonic, readLedgers, type Entry } from './ledger.ts'

const { values } = parseArgs({ options: { database: { type: 'string', default: 'sqlite' }, kills: { type: 'string', default: '20' }, lease: { type: 'string', default: '1000' }, sweep: { type: 'string', default: '200' } } })
const kills = Number(values.kills)
const lease = Number(values.lease)
const sweep = Number(values.sweep)
const INTERVAL = 200
const database = await databases.find(({ name }) => name === values.database)?.open()
if (database === undefined || !(kills > 0)) throw new Error('--database must be sqlite or postgres, and --kills a positive number')
const ledgers = await mkdtemp(join(tmpdir(), 'fastify-tasks-recovery-'))
const ends: Array<() => Promise<void>> = []
const app = Fastify()
const slow = task('slow', async (_key: string, _milliseconds: number) => {})
await app.register(fastifyTasks, { tasks: [slow], env: false, backends: { default: { backend: 'database', url: database.url } } })
await app.ready()

const workers = [start(), start(), start()]
const times: number[] = []
for (let count = 0; count < kills; count++) {
  // The others are up and idle: what is measured is the noticing, not a boot or a busy machine.
  await eventually(async () => { if ((await app.tasks.stats()).workers.length < workers.length) throw new Error('workers do not come up') }, { timeout: 60_000 })
  const result = await slow.enqueue(`kill ${count}`, 3_600_000)
  const first = await seen(result.id, 1)
  const victim = workers.findIndex(({ pid }) => pid === first['ppid'])
  // The supervisor as well: nobody near it can tell.
  const at = monotonic()
  process.kill(-(workers[victim] as TestProcess).pid, 'SIGKILL')
  const again = await seen(result.id, 2)
  times.push(again.at - at)
  await result.cancel()
  await eventually(async () => { await result.refresh(); if (!result.isFinished) throw new Error('not yet') })
  workers[victim] = start()
}
await Promise.all(ends.map(async (end) => { await end() }))
await app.close()
await database.close()
await rm(ledgers, { recursive: true, force: true })

times.sort((a, b) => a - b)
const bound = lease + sweep + INTERVAL
const at = (share: number): number => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))] as number)
const late = times.filter((time) => time > bound).length
console.log(`${values.database}: ${kills} kills, lease ${lease} ms, sweep ${sweep} ms, poll ${INTERVAL} ms: p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms; bound ${bound} ms, ${late} later`)
process.exitCode = late > 0 ? 1 : 0

function start (): TestProcess {
  return startProcess({ after: (end) => { ends.push(end) } }, fileURLToPath(new URL('processes/worker.js', import.meta.url)), {
    args: ['--lease', String(lease), '--sweep', String(sweep), '--interval', String(INTERVAL)],
    env: { TASKS_DATABASE_URL: (database as { url: string }).url, LEDGER: ledgers, ROLE: 'worker' }
  })
}

/** The start of this attempt, with the parent of the process that it is in. */
async function seen (id: string, attempt: number): Promise<Entry> {
  return await eventually(async () => {
    const entries = await readLedgers(ledgers)
    const found = entries.find((entry) => entry.what === 'start' && entry['id'] === id && entry['attempt'] === attempt)
    if (found === undefined) throw new Error(`attempt ${attempt} of ${id} has not begun`)
    return { ...found, ppid: entries.find(({ what, pid }) => what === 'boot' && pid === found.pid)?.['ppid'] }
  }, { timeout: 60_000, interval: 10 })
}
