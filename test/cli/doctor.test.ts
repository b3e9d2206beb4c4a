import t, { type Test } from 'tap'
import { v7 as uuid } from 'uuid'
import { main } from '#lib/cli/main.js'
import { openStore, type KnexStore } from '#lib/store/index.js'
import { databases, type TestDatabases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'

interface Check { name: string, state: 'ok' | 'warning' | 'problem', found: string }
interface Diagnosis { code: number, ok: boolean, checks: Check[] }

interface Bench {
  readonly store: KnexStore
  diagnose (): Promise<Diagnosis>
}

async function bench (t: Test, { open }: TestDatabases, { migrated = true } = {}): Promise<Bench> {
  const { url, close } = await open()
  const store = openStore({ url, listen: false })
  t.teardown(async () => { await store.close(); await close() })
  // A connection makes the file.
  await (migrated ? store.open() : store.ping())
  const diagnose = async (): Promise<Diagnosis> => {
    let text = ''
    const code = await main(['doctor', '--json'], { stdout: (piece) => { text += piece }, stderr: (piece) => { text += piece }, env: { TASKS_DATABASE_URL: url } })
    return { code, ...JSON.parse(text) }
  }
  return { store, diagnose }
}

async function enqueue (store: KnexStore, task = 'math.add', queue = 'default'): Promise<void> {
  await store.insert([{ id: uuid(), backend: 'default', task, queue, priority: 0, runAfter: null, delay: null, args: '[]', options: null, tags: [], unique: null, maxReady: null }])
}

async function register (store: KnexStore, leaseMs = 60_000): Promise<string> {
  const id = `test-${uuid()}`
  await store.register({ id, backend: 'default', leaseMs, tasks: ['math.add'], quarantine: false })
  return id
}

// The tests' own PostgreSQL is fast and not durable, which is a finding of its own: see the first test.
function states ({ checks }: Diagnosis, name: string): string[] {
  return checks.filter((check) => check.name === name).map(({ state }) => state)
}

for (const database of databases) {
  t.test(`doctor on ${database.name}`, async (t) => {
    t.test('looks at driver, version, tables, durable settings, wake-up and workers', async (t) => {
      const { store, diagnose } = await bench(t, database)
      await register(store)
      const diagnosis = await diagnose()
      const names = diagnosis.checks.map(({ name }) => name)
      const settings = database.name === 'sqlite' ? ['journal_mode', 'synchronous', 'busy_timeout'] : ['fsync', 'full_page_writes', 'synchronous_commit', 'autovacuum']
      for (const name of ['database', 'tables', ...settings, 'wake-up', 'workers', 'queues']) t.ok(names.includes(name), name)
      t.match(diagnosis.checks[0]?.found, database.name === 'sqlite' ? /^SQLite 3\.\d+\.\d+, driver sqlite3 \d/ : /^PostgreSQL \d+.*, driver pg \d/)
      t.strictSame(states(diagnosis, 'wake-up'), ['ok'])
      t.strictSame(states(diagnosis, 'workers'), ['ok'])
      const problems = diagnosis.checks.filter(({ state }) => state === 'problem').map(({ name }) => name)
      t.ok(problems.every((name) => settings.includes(name)), problems.join(', '))
      t.equal(diagnosis.ok, problems.length === 0)
      t.equal(diagnosis.code, problems.length === 0 ? 0 : 1)
    })

    t.test('missing tables are a problem, and the command to run is named', async (t) => {
      const { diagnose } = await bench(t, database, { migrated: false })
      const { code, ok, checks } = await diagnose()
      t.equal(code, 1)
      t.equal(ok, false)
      t.match(checks, [{ state: 'problem', found: /fastify-tasks migrate/ }])
    })

    t.test('work that waits while no worker is alive is a problem, and none that waits is not', async (t) => {
      const { store, diagnose } = await bench(t, database)
      t.strictSame(states(await diagnose(), 'workers'), ['warning'])
      await enqueue(store)
      const diagnosis = await diagnose()
      t.strictSame(states(diagnosis, 'workers'), ['problem'])
      t.equal(diagnosis.code, 1)
    })

    t.test('a paused queue is a warning', async (t) => {
      const { store, diagnose } = await bench(t, database)
      await enqueue(store, 'math.add', 'mail')
      await store.pause('default', 'mail')
      const diagnosis = await diagnose()
      t.strictSame(states(diagnosis, 'queue'), ['warning'])
      t.strictSame(states(diagnosis, 'workers'), ['warning'], 'what is paused does not wait for a worker')
    })

    t.test('a task that no living worker knows is a problem', async (t) => {
      const { store, diagnose } = await bench(t, database)
      await register(store)
      await enqueue(store, 'math.unknown')
      const diagnosis = await diagnose()
      t.strictSame(states(diagnosis, 'unknown task'), ['problem'])
      t.match(diagnosis.checks.find(({ name }) => name === 'unknown task')?.found, /math\.unknown/)
    })

    t.test('a dead worker that holds work is a problem where nobody is alive to take it back', async (t) => {
      const { store, diagnose } = await bench(t, database)
      await enqueue(store)
      const worker = await register(store, 3_000)
      const claimed = await store.claim({ worker, claim: 1, backend: 'default', lanes: [{ queue: 'default', priority: 0, after: null }], limit: 1, start: 1, tasks: ['math.add'] })
      t.equal(claimed.length, 1)
      const diagnosis = await eventually(async () => {
        const found = await diagnose()
        if (states(found, 'dead worker').length === 0) throw new Error('its lease has not run out')
        return found
      })
      t.strictSame(states(diagnosis, 'dead worker'), ['problem'])
    })
  })
}
