import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { TaskResult } from 'fastify-tasks'
import { databases, type TestDatabases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { startProcess, type TestProcess } from '../support/processes.ts'
import { checkLimits } from './limits-checker.ts'
import { monotonic, readLedgers, type Entry } from './ledger.ts'
import { randomFrom } from './processes/random.js'

// Three worker processes and limits of every kind, with processes that are killed and stopped in the middle, by a seed;
// judged by ledgers outside of the database. It takes a minute on a busy machine, and so is a command of its own:
// TAP_TIMEOUT=300 TASKS_TEST_SEED=7 node --import=tsx test/faults/limits-scenario.ts

const SEED = Number(process.env['TASKS_TEST_SEED'] ?? 5)
const WORKERS = 3
const BLOWS = ['kill', 'terminate', 'stop', 'kill'] as const
const [LEASE_MS, SWEEP_MS, POLL_MS] = [3_000, 200, 200]
const SLACK_MS = 5_000 // a busy machine
const RATE = { max: 5, every: 700 }

for (const database of databases) {
  t.test(`${database.name}: no limit is passed, no order broken and no key stuck, whoever is killed or stopped`, { timeout: 240_000 }, async (t) => {
    const scene = await setting(t, database)
    const results = await enqueue(scene)
    const places = Array.from({ length: WORKERS }, () => scene.worker())
    const random = randomFrom(SEED)
    await Promise.all(places.map(async (process) => await process.line('worker ready', { timeout: 30_000 })))
    for (let blow = 0; blow < BLOWS.length; blow++) {
      await sleep(150 + 400 * random())
      await results[Math.floor(random() * results.length)]?.cancel()
      const victim = await scene.busy(places, random)
      const index = places.indexOf(victim)
      scene[BLOWS[blow] as typeof BLOWS[number]](victim)
      places[index] = scene.worker()
    }
    for (const result of results) await result.wait({ timeout: '120s' })
    const entries = await scene.entries()
    const rules = { rates: new Map([['rated', RATE]]), resumeMs: LEASE_MS + SWEEP_MS + POLL_MS + SLACK_MS }
    assert.deepEqual(checkLimits(entries, rules), [], `with seed ${SEED}`)
    const cancelled = results.filter(({ status }) => status === 'CANCELLED').length
    t.same(results.filter(({ status }) => status !== 'SUCCESSFUL' && status !== 'CANCELLED').map(({ id, errors }) => [id, errors]), [])
    t.ok(cancelled <= BLOWS.length)
    const starts = entries.filter(({ what }) => what === 'start')
    t.ok(starts.length > entries.filter(({ what }) => what === 'end').length, 'something was killed in the middle')
  })
}

/** Tasks under serial keys, in orders that priorities change, under keys of several, of different limits, in a queue with a limit, with a rate, and without. */
async function enqueue ({ tasks: { keyed, small, rated, plain } }: Scene): Promise<TaskResult[]> {
  const random = randomFrom(SEED + 1)
  const pick = (least: number, most: number): number => least + Math.floor(random() * (most - least + 1))
  const results: TaskResult[] = []
  for (let key = 0; key < 3; key++) {
    const rows = Array.from({ length: 12 }, (_, index) => ({ index, priority: pick(0, 1) * 5 }))
    const order = [...rows].sort((a, b) => b.priority - a.priority || a.index - b.index)
    for (const row of rows) {
      results.push(await keyed.using({ concurrencyKey: `serial ${key}`, priority: row.priority }).enqueue(`serial ${key}`, 1, order.indexOf(row), pick(20, 120), random() < 0.2))
    }
    results.push(await keyed.using({ concurrencyKey: `serial ${key}`, priority: 100, runAfter: 500 }).enqueue(`serial ${key}`, 1, null, 10, false))
  }
  const many = async (count: number, one: () => Promise<TaskResult>): Promise<void> => { for (let made = 0; made < count; made++) results.push(await one()) }
  await many(30, async () => await keyed.using({ concurrencyKey: 'three', concurrencyLimit: 3 }).enqueue('three', 3, null, pick(20, 80), random() < 0.1))
  await many(20, async () => {
    const concurrencyLimit = [1, 2, 4][pick(0, 2)] as number
    return await keyed.using({ concurrencyKey: 'mixed', concurrencyLimit }).enqueue('mixed', concurrencyLimit, null, pick(10, 60), false)
  })
  await many(25, async () => await small.enqueue(pick(20, 80)))
  await many(20, async () => await rated.enqueue())
  await many(40, async () => await plain.enqueue(pick(1, 20)))
  return results
}

interface Scene {
  readonly tasks: typeof import('./processes/limited.js')
  worker (): TestProcess
  /** One of these that has an attempt under way. */
  busy (places: readonly TestProcess[], random: () => number): Promise<TestProcess>
  kill (process: TestProcess): void
  /** Stopped in the middle of whatever it does, with its connections open, until the test is over (on SQLite, for a lease). */
  stop (process: TestProcess): void
  terminate (process: TestProcess): void
  entries (): Promise<Entry[]>
}

async function setting (t: Test, database: TestDatabases): Promise<Scene> {
  const { url, close } = await database.open()
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-limits-'))
  process.env['TASKS_DATABASE_URL'] = url
  const tasks: typeof import('./processes/limited.js') = await import(`./processes/limited.js?${database.name}`)
  const app = await tasks.buildApp()
  await app.ready()
  t.teardown(async () => {
    await app.close()
    await close()
    await rm(folder, { recursive: true, force: true })
  })
  const seen: Entry[] = []
  const note = (what: string, { pid }: TestProcess): void => { seen.push({ what, at: monotonic(), pid: process.pid, of: pid }) }
  return {
    tasks,
    worker: () => {
      const worker = startProcess({ after: (fn) => { t.teardown(fn) } }, fileURLToPath(new URL('processes/limited-worker.js', import.meta.url)), {
        args: ['--concurrency', '6', '--lease', `${LEASE_MS}ms`, '--sweep', `${SWEEP_MS}ms`, '--interval', `${POLL_MS}ms`, '--shutdown-grace', '50ms'],
        env: { TASKS_DATABASE_URL: url, LEDGER: folder }
      })
      worker.line('worker ready', { timeout: 60_000 }).then(() => { note('up', worker) }, () => {}) // it may be killed before
      return worker
    },
    busy: async (places, random) => await eventually(async () => {
      const open = openIn(await readLedgers(folder))
      const busy = places.filter(({ pid }) => open.has(pid))
      assert.ok(busy.length > 0, 'somebody is at work')
      return busy[Math.floor(random() * busy.length)] as TestProcess
    }, { timeout: 60_000 }),
    kill: (victim) => {
      process.kill(-victim.pid, 'SIGKILL') // with all that it has started
      note('kill', victim)
    },
    stop: (victim) => {
      process.kill(-victim.pid, 'SIGSTOP')
      note('kill', victim)
      // SQLite's write lock stays with a process that was stopped while it had it.
      if (database.name === 'sqlite') setTimeout(() => { process.kill(-victim.pid, 'SIGKILL') }, LEASE_MS)
    },
    terminate: (victim) => {
      victim.signal('SIGTERM')
      note('down', victim)
    },
    entries: async () => [...seen, ...await readLedgers(folder)].sort((a, b) => a.at - b.at)
  }
}

/** The processes that have an attempt under way, and those that started them. */
function openIn (entries: readonly Entry[]): Set<number> {
  const parents = new Map(entries.filter(({ what }) => what === 'boot').map(({ pid, ppid }) => [pid, ppid as number]))
  const count = new Map<number, number>()
  for (const { what, pid } of entries) if (what !== 'boot') count.set(pid, (count.get(pid) ?? 0) + (what === 'start' ? 1 : -1))
  return new Set([...count].filter(([, open]) => open > 0).flatMap(([pid]) => [pid, parents.get(pid) ?? pid]))
}
