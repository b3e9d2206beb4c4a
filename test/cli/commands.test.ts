import t, { type Test } from 'tap'
import { fileURLToPath } from 'node:url'
import { v7 as uuid } from 'uuid'
import { main } from '#lib/cli/main.js'
import { openStore, type KnexStore } from '#lib/store/index.js'
import type { NewRow } from '#lib/store/store.js'
import { databases, type TestDatabases } from '../support/databases.ts'
import { startProcess } from '../support/processes.ts'

const bin = fileURLToPath(new URL('../../dist/lib/cli/bin.js', import.meta.url))

interface Run { code: number | null, stdout: string, stderr: string }

interface Bench {
  readonly url: string
  readonly store: KnexStore
  /** By the installed program, in a process of its own: where the process is the subject, since each takes most of a second. */
  cli (...args: string[]): Promise<Run>
  /** The same in this process. */
  call (...args: string[]): Promise<Run>
  /** As `call` with --json, parsed. */
  data (...args: string[]): Promise<any>
}

async function bench (t: Test, { open }: TestDatabases, { migrated = true } = {}): Promise<Bench> {
  const { url, close } = await open({ keepTables: migrated })
  const store = openStore({ url, listen: false })
  if (migrated) await store.open()
  t.teardown(async () => { await store.close(); await close() })
  const cli = async (...args: string[]): Promise<Run> => {
    const child = startProcess(t, bin, { args, env: { TASKS_DATABASE_URL: url } })
    const { code } = await child.exit()
    return { code, stdout: child.stdout.join('\n'), stderr: child.stderr.join('\n') }
  }
  const call = async (...args: string[]): Promise<Run> => {
    const run = { code: -1, stdout: '', stderr: '' }
    const stdout = (text: string): void => { run.stdout += text }
    const stderr = (text: string): void => { run.stderr += text }
    run.code = await main(args, { stdout, stderr, env: { TASKS_DATABASE_URL: url } })
    return run
  }
  const data = async (...args: string[]): Promise<any> => {
    const { code, stdout, stderr } = await call(...args, '--json')
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${String(code)}: ${stderr}`)
    return JSON.parse(stdout)
  }
  return { url, store, cli, call, data }
}

function row (fields: Partial<NewRow> = {}): NewRow {
  return {
    id: uuid(),
    backend: 'default',
    task: 'math.add',
    queue: 'default',
    priority: 0,
    runAfter: null,
    delay: null,
    args: '[1,2]',
    options: null,
    tags: [],
    unique: null,
    maxReady: null,
    ...fields
  }
}

/** Insert a row, have a worker claim it, and end it as told. */
async function run (store: KnexStore, fields: Partial<NewRow>, ending: 'SUCCESSFUL' | 'FAILED' | null): Promise<string> {
  const worker = `test-${uuid()}`
  const { id, task, queue, priority } = (await store.insert([row({ queue: `queue-${uuid()}`, ...fields })]))[0]!.row
  await store.register({ id: worker, backend: 'default', leaseMs: 60_000, tasks: [task], quarantine: false })
  const claimed = await store.claim({ worker, claim: 1, backend: 'default', lanes: [{ queue, priority, after: null }], limit: 1, start: 1, tasks: [task] })
  if (claimed[0]?.id !== id) throw new Error('not claimed')
  const error = { exceptionClass: 'TypeError', message: 'it broke \u001b[31mred', code: 'E_BROKEN', traceback: 'TypeError: it broke\n    at somewhere', attempt: 1, at: Date.now() }
  if (ending === 'SUCCESSFUL') await store.finish(worker, [{ id, claim: 1, status: ending, returnValue: '3' }], [1])
  if (ending === 'FAILED') await store.finish(worker, [{ id, claim: 1, status: ending, errors: [error] }], [1])
  return id
}

for (const database of databases) {
  t.test(`the command line on ${database.name}`, async (t) => {
    t.test('migrate makes the tables, says which migrations it ran, and may be repeated', async (t) => {
      const { cli, data } = await bench(t, database, { migrated: false })
      const { migrations } = await data('migrate')
      t.ok(migrations.length > 0)
      t.strictSame(await data('migrate'), { migrations: [] })
      t.match((await cli('migrate')).stdout, /up to date/)
    })

    t.test('of several migrations at once, one is run and all succeed', async (t) => {
      const { cli } = await bench(t, database, { migrated: false })
      const runs = await Promise.all([1, 2, 3, 4].map(async () => await cli('migrate', '--json')))
      t.strictSame(runs.map(({ code, stderr }) => ({ code, stderr })), runs.map(() => ({ code: 0, stderr: '' })))
      const counts = runs.map(({ stdout }) => JSON.parse(stdout).migrations.length)
      t.equal(counts.filter((count) => count > 0).length, 1)
    })

    t.test('an alias is looked up in TASKS_BACKENDS, as the plugin does', async (t) => {
      const { store, url } = await bench(t, database)
      const id = uuid()
      await store.insert([row({ id, backend: 'reports' })])
      const env = { TASKS_DATABASE_URL: 'sqlite:/nowhere/tasks.sqlite3', TASKS_BACKENDS: JSON.stringify({ reports: { backend: 'database', url } }) }
      const run = { code: -1, stdout: '', stderr: '' }
      run.code = await main(['show', id, '--backend', 'reports', '--json'], { stdout: (text) => { run.stdout += text }, stderr: (text) => { run.stderr += text }, env })
      t.equal(run.code, 0, run.stderr)
      t.match(JSON.parse(run.stdout), { id, backend: 'reports' })
    })

    t.test('the other commands make no tables, and say how to', async (t) => {
      const { call, url } = await bench(t, database, { migrated: false })
      const others = openStore({ url, listen: false, tablePrefix: 'others_' })
      await others.open()
      await others.close()
      for (const args of [['list'], ['stats'], ['prune'], ['pause', 'mail']]) {
        const { code, stdout, stderr } = await call(...args)
        t.equal(code, 1, args.join(' '))
        t.equal(stdout, '')
        t.match(stderr, /fastify-tasks migrate.*FST_TASKS_MIGRATION_REQUIRED/)
      }
    })

    t.test('list filters by status, queue, task and tag, and goes through pages', async (t) => {
      const { store, call, data } = await bench(t, database)
      const rows = [row({ queue: 'mail', tags: ['note:1'] }), row({ task: 'math.sub' }), row(), row({ backend: 'reports' })]
      await store.insert(rows)
      const failed = await run(store, {}, 'FAILED')
      const ids = async (...args: string[]): Promise<string[]> => (await data('list', ...args)).results.map(({ id }: { id: string }) => id)
      t.strictSame(await ids(), [failed, rows[2]!.id, rows[1]!.id, rows[0]!.id], 'newest first, of the default backend')
      t.strictSame(await ids('--status', 'failed'), [failed])
      t.strictSame(await ids('--queue-name', 'mail'), [rows[0]!.id])
      t.strictSame(await ids('--task', 'math.sub'), [rows[1]!.id])
      t.strictSame(await ids('--tag', 'note:1'), [rows[0]!.id])
      t.strictSame(await ids('--backend', 'reports'), [rows[3]!.id])
      t.strictSame(await ids('--finished-after', '1h', '--finished-before', '2100-01-01'), [failed])
      t.strictSame(await ids('--enqueued-after', '1h', '--task', 'math.sub'), [rows[1]!.id])
      t.strictSame(await ids('--enqueued-before', '2020-01-01T00:00:00Z'), [])
      const page = await data('list', '--limit', '3')
      t.equal(page.results.length, 3)
      const rest = await data('list', '--limit', '3', '--after', page.next)
      t.strictSame(rest.results.map(({ id }: { id: string }) => id), [rows[0]!.id])
      t.equal(rest.next, null)
      const { stdout } = await call('list')
      t.match(stdout, /^ID +TASK +STATUS/)
      t.match(stdout, new RegExp(`${failed} +math\\.add +FAILED`))
    })

    t.test('show prints arguments, return value and errors, and obeys no escape sequence in them', async (t) => {
      const { store, call, data } = await bench(t, database)
      const done = await run(store, { args: '[{"a":1}]' }, 'SUCCESSFUL')
      const failed = await run(store, {}, 'FAILED')
      const found = await data('show', done)
      t.match(found, { id: done, taskName: 'math.add', status: 'SUCCESSFUL', args: [{ a: 1 }], returnValue: 3, attempts: 1, isFinished: true, errors: { length: 0 } })
      t.equal(new Date(found.finishedAt).toISOString(), found.finishedAt)
      const broken = await data('show', failed)
      t.match(broken.errors, [{ exceptionClass: 'TypeError', code: 'E_BROKEN', attempt: 1 }])
      t.notOk('returnValue' in broken, 'no return value where there is none')
      const { stdout } = await call('show', failed)
      t.match(stdout, /TypeError \(E_BROKEN\): it broke \\u001b\[31mred/)
      t.notMatch(stdout, '\u001b')
    })

    t.test('an id that is unknown, malformed or of another backend is not found, and ends with 1', async (t) => {
      const { store, call } = await bench(t, database)
      const elsewhere = row({ backend: 'reports' })
      await store.insert([elsewhere])
      for (const command of ['show', 'cancel', 'retry']) {
        for (const id of [uuid(), 'x', "'; DROP TABLE tasks_results; --", elsewhere.id]) {
          const { code, stdout, stderr } = await call(command, id)
          t.equal(code, 1)
          t.equal(stdout, '')
          t.match(stderr, /FST_TASKS_RESULT_NOT_FOUND/)
        }
      }
      t.equal((await store.get(elsewhere.id))?.status, 'READY')
    })

    t.test('cancel ends a READY result, tells the worker of a RUNNING one, and refuses one that has ended', async (t) => {
      const { store, cli, call, data } = await bench(t, database)
      const ready = row()
      await store.insert([ready])
      t.strictSame(await data('cancel', ready.id), { id: ready.id, status: 'CANCELLED', signalled: false })
      t.equal((await store.get(ready.id))?.status, 'CANCELLED')
      const running = await run(store, {}, null)
      t.strictSame(await data('cancel', running), { id: running, status: 'RUNNING', signalled: true })
      const done = await run(store, {}, 'SUCCESSFUL')
      for (const [by, id] of [[call, ready.id], [cli, done]] as const) {
        const { code, stderr } = await by('cancel', id)
        t.equal(code, 1)
        t.match(stderr, /has ended/)
      }
      t.equal((await store.get(done))?.status, 'SUCCESSFUL')
    })

    t.test('retry puts FAILED and CANCELLED results back, and refuses others', async (t) => {
      const { store, call, data } = await bench(t, database)
      const failed = await run(store, {}, 'FAILED')
      t.strictSame(await data('retry', failed), { id: failed, status: 'READY' })
      t.equal((await store.get(failed))?.status, 'READY')
      const done = await run(store, {}, 'SUCCESSFUL')
      for (const id of [failed, done]) {
        const { code, stderr } = await call('retry', id)
        t.equal(code, 1)
        t.match(stderr, /Nothing was changed/)
      }
      t.equal((await store.get(done))?.status, 'SUCCESSFUL')
    })

    t.test('pause and resume are seen by stats', async (t) => {
      const { store, call, data } = await bench(t, database)
      await store.insert([row({ queue: 'mail' }), row({ queue: 'mail', delay: 60_000 })])
      t.strictSame(await data('pause', 'mail'), { queue: 'mail', paused: true })
      const paused = await data('stats')
      t.match(paused.queues.mail, { ready: 1, deferred: 1, running: 0, failed: 0, paused: true })
      t.type(paused.queues.mail.oldestReadyMs, 'number')
      t.match((await call('stats')).stdout, /mail .*paused/)
      t.strictSame(await data('resume', 'mail'), { queue: 'mail', paused: false })
      t.equal((await data('stats')).queues.mail.paused, false)
    })

    t.test('prune deletes what is old enough by the flags, and a dry run only counts', async (t) => {
      const { store, call, data } = await bench(t, database)
      const done = await run(store, {}, 'SUCCESSFUL')
      const failed = await run(store, {}, 'FAILED')
      const ready = row()
      await store.insert([ready])
      t.match((await call('prune')).stdout, /Deleted 0 task results/, 'nothing is old enough by default')
      t.strictSame(await data('prune', '--min-age', '0', '--dry-run'), { deleted: 0, wouldDelete: 1, dryRun: true })
      t.match((await call('prune', '--min-age', '0', '--queue-name', 'other')).stdout, /Deleted 0 task results/)
      t.ok(await store.get(done))
      t.strictSame(await data('prune', '--min-age', '0s'), { deleted: 1, dryRun: false })
      t.equal(await store.get(done), null)
      t.ok(await store.get(failed), 'a failed one has an age of its own')
      t.match((await call('prune', '--failed-min-age', '0')).stdout, /Deleted 1 task result\./)
      t.equal(await store.get(failed), null)
      t.ok(await store.get(ready.id), 'what has not ended stays')
    })

    t.test('the flags say where the tables are, over the environment', async (t) => {
      const { url, data } = await bench(t, database)
      const other = await database.open()
      t.teardown(other.close)
      const flags = ['--database-url', other.url, '--table-prefix', 'jobs_', ...(database.name === 'postgres' ? ['--schema', 'background'] : [])]
      t.ok((await data('migrate', ...flags)).migrations.length > 0)
      t.strictSame(await data('list', ...flags), { results: [], next: null })
      t.not(url, other.url)
    })

    t.test('a pipe that is closed early is no failure', async (t) => {
      const { store, url } = await bench(t, database)
      await store.insert(Array.from({ length: 800 }, () => row()))
      const script = `const child = require('node:child_process').spawn(process.execPath, [${JSON.stringify(bin)}, 'list', '--json', '--limit', '1000'], { stdio: ['ignore', 'pipe', 'inherit'] })
        child.stdout.once('data', () => child.stdout.destroy())
        child.on('exit', (code) => { console.log('code', code) })`
      const child = startProcess(t, '-e', { args: [script], env: { TASKS_DATABASE_URL: url } })
      await child.exit()
      t.strictSame(child.lines, ['code 0'])
    })
  })
}
