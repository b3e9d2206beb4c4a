import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import fastifyTasks, { task, type TaskResult } from 'fastify-tasks'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { startProcess, type TestProcess } from '../support/processes.ts'
import { monotonic, readLedgers, type Entry } from './ledger.ts'
import { randomFrom } from './processes/random.js'

export interface RecoveryOptions {
  readonly database: 'sqlite' | 'postgres'
  readonly kills: number
  /** When, within a lease, each kill comes. */
  readonly seed: number
}

const LEASE = 1_000
const SWEEP = 200
const INTERVAL = 200
const BOUND = LEASE + SWEEP + INTERVAL
const WORKERS = 3

/**
 * How long until what a killed process ran is run again: the distribution that the README prints. A worker is killed
 * together with its supervisor, so that nobody near it can tell; the others are up and idle, so that what is measured is
 * the noticing, and not a boot.
 */
export async function measureRecovery ({ database: name, kills, seed }: RecoveryOptions): Promise<{ text: string, late: number }> {
  const database = await databases.find((one) => one.name === name)?.open()
  if (database === undefined) throw new Error(`TASKS_TEST_ONLY leaves ${name} out`)
  const ledgers = await mkdtemp(join(tmpdir(), 'fastify-tasks-recovery-'))
  const random = randomFrom(seed)
  const ends: Array<() => Promise<void>> = []
  const app = Fastify()
  const slow = task('slow', async (_key: string, _milliseconds: number) => {})
  await app.register(fastifyTasks, { tasks: [slow], env: false, backends: { default: { backend: 'database', url: database.url } } })
  await app.ready()
  const start = (): TestProcess => startWorker(database.url, ledgers, ends)
  const workers = Array.from({ length: WORKERS }, start)
  const times: number[] = []
  for (let count = 0; count < kills; count++) {
    await eventually(async () => { if ((await app.tasks.stats()).workers.length < WORKERS) throw new Error('workers do not come up') }, { timeout: 60_000 })
    const result = await slow.enqueue(`kill ${count}`, 3_600_000)
    const first = await seen(ledgers, result.id, 1)
    await sleep(LEASE * random()) // at any phase of the lease and of its renewal
    const victim = workers.findIndex(({ pid }) => pid === first['ppid'])
    const at = monotonic()
    process.kill(-(workers[victim] as TestProcess).pid, 'SIGKILL')
    times.push((await seen(ledgers, result.id, 2)).at - at)
    await end(result)
    for (const pid of [first.pid, first['ppid']]) await rm(join(ledgers, `worker.${String(pid)}.jsonl`), { force: true }) // each look reads them all
    workers[victim] = start()
  }
  await Promise.all(ends.map(async (end) => { await end() }))
  await app.close()
  await database.close()
  await rm(ledgers, { recursive: true, force: true })
  return describe(name, seed, times)
}

function describe (name: string, seed: number, unordered: readonly number[]): { text: string, late: number } {
  const times = [...unordered].sort((a, b) => a - b)
  const at = (share: number): number => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))] as number)
  const late = times.filter((time) => time > BOUND).length
  return {
    text: `recovery on ${name}, seed ${seed}: ${times.length} kills, lease ${LEASE} ms, sweep ${SWEEP} ms, poll ${INTERVAL} ms: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, p99 ${at(0.99)} ms, max ${at(1)} ms; bound ${BOUND} ms, ${late} later`,
    late
  }
}

function startWorker (url: string, ledgers: string, ends: Array<() => Promise<void>>): TestProcess {
  return startProcess({ after: (end) => { ends.push(end) } }, fileURLToPath(new URL('processes/worker.js', import.meta.url)), {
    args: ['--lease', String(LEASE), '--sweep', String(SWEEP), '--interval', String(INTERVAL)],
    env: { TASKS_DATABASE_URL: url, LEDGER: ledgers, ROLE: 'worker' }
  })
}

async function end (result: TaskResult): Promise<void> {
  await result.cancel()
  await eventually(async () => {
    await result.refresh()
    if (!result.isFinished) throw new Error('not yet')
  }, { timeout: 60_000 })
}

/** The start of this attempt, with the parent of the process that it is in. */
async function seen (ledgers: string, id: string, attempt: number): Promise<Entry> {
  return await eventually(async () => {
    const entries = await readLedgers(ledgers)
    const found = entries.find((entry) => entry.what === 'start' && entry['id'] === id && entry['attempt'] === attempt)
    if (found === undefined) throw new Error(`attempt ${attempt} of ${id} has not begun`)
    return { ...found, ppid: entries.find(({ what, pid }) => what === 'boot' && pid === found.pid)?.['ppid'] }
  }, { timeout: 60_000, interval: 50 })
}
