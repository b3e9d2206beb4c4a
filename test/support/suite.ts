import { execFile, type ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import t from 'tap'
import { buildTests } from '../../scripts/build-tests.js'
import { isAlive } from './alive.ts'
import { fastFolder } from './memory.ts'
import { serverUrl } from './postgres.ts'

// node --import=tsx test/support/suite.ts [--checks] [file …]: these test files, each in a process of its own, or all, the
// short ones of a folder in one, on one PostgreSQL; with --checks the linter and the type checks beside them. `tap run` would put loaders of its own into
// every process and every thread that a test starts, which took more than half of the time.

const TIMEOUT_S = Number(process.env['TASKS_TEST_TIMEOUT'] ?? 900) // seconds for a file that hangs; nothing is measured by it
const JOBS = 3 // many of them mostly wait
const CHECKS = ['lint', 'typecheck', 'test:types']

const LOADED = 'test/loader/' // with tsx, as they are about processes that have a loader

// Begun first, so that none of them runs alone at the end; those with faults not beside each other, because a lease of
// theirs is short, and a machine that gives a process no time for a tenth of it breaks what nobody can promise then.
const LONG = [
  'conformance/stores', 'faults/postgres-smoke', 'process/stopping', 'conformance/backends', 'example/demo', 'faults/sqlite-smoke',
  'process/crashes', 'package/consumer', 'worker/transaction', 'worker/lease', 'worker/limits', 'worker/running', 'worker/isolation',
  'faults/model', 'example/kill', 'process/boot', 'faults/every-call', 'process/supervisor'
].map((name) => `test/${name}.test.ts`)

// Folders of which the other files share a process in a run of all tests: most of them take no longer than to start one.
const TOGETHER = ['worker', 'plugin', 'faults', 'store', 'backends', 'conformance', 'structure', 'core', 'run']

const root = resolve(import.meta.dirname, '../..')
const args = process.argv.slice(2)
const given = args.filter((arg) => arg !== '--checks').map((file) => relative(root, resolve(file)))
const files = given.length > 0 ? given : await all()
if (process.env['TASKS_TEST_ONLY'] !== 'sqlite') process.env['TASKS_TEST_DATABASE_URL'] = await serverUrl()
const shared = TOGETHER.map((folder) => given.length > 0 ? [] : files.filter((file) => file.startsWith(`test/${folder}/`) && !LONG.includes(file)))
const alone = files.filter((file) => !shared.flat().includes(file))
const built = await buildTests(alone)

t.jobs = Number(process.env['TASKS_TEST_JOBS'] ?? JOBS)
t.setTimeout(0)
// A run that is stopped leaves none behind.
const started: Array<{ proc?: ChildProcess | null }> = []
t.on('subtestStart', (test) => { started.push(test as { proc?: ChildProcess | null }) })
process.on('exit', () => { for (const { proc } of started) proc?.kill() })
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => { process.exit(1) })

// t.spawn() says in NODE_OPTIONS that a loader is to watch each process and thread, for coverage: it is taken out again.
const env = { ...process.env, TMPDIR: await temporaryFolder(), TAP_TIMEOUT: String(TIMEOUT_S) }
const start = (name: string, args: readonly string[]): void => {
  void t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, '--enable-source-maps', ...args], { name, buffered: true, timeout: TIMEOUT_S * 1_000, env })
}
const startAlone = (index: number): void => {
  const name = alone[index] as string
  start(name, [...name.startsWith(LOADED) ? ['--import=tsx'] : [], built[index] as string])
}
const long = alone.filter((file) => LONG.includes(file)).length // `files` begin with them
for (let index = 0; index < long; index++) startAlone(index)
for (const files of shared.filter(({ length }) => length > 0)) {
  start(dirname(files[0] as string), [resolve(import.meta.dirname, 'together.js'), ...await buildTests(files, { together: true })])
}
for (const check of args.includes('--checks') ? CHECKS : []) {
  void t.test(`npm run ${check}`, { buffered: true, timeout: TIMEOUT_S * 1_000 }, async (t) => {
    const { code, output } = await run('npm', ['run', check])
    t.equal(code, 0, output)
  })
}
for (let index = long; index < alone.length; index++) startAlone(index)

async function all (): Promise<string[]> {
  const names = await readdir(resolve(root, 'test'), { recursive: true })
  const files = names.filter((name) => name.endsWith('.test.ts') && !name.startsWith('browser')).map((name) => `test/${name}`).sort()
  return [...LONG, ...files.filter((file) => !LONG.includes(file))]
}

/** For what tests write, in memory where there is some: theirs are databases and servers of a moment. Gone with this process. */
async function temporaryFolder (): Promise<string> {
  const home = await fastFolder()
  for (const name of await readdir(home)) {
    const pid = /^fastify-tasks-run-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(home, name), { recursive: true, force: true }) // of one that was killed
  }
  const folder = await mkdtemp(join(home, `fastify-tasks-run-${process.pid}-`))
  await chmod(folder, 0o755) // for a server of another user
  process.on('exit', () => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

async function run (program: string, args: readonly string[]): Promise<{ code: number, output: string }> {
  return await new Promise((resolve) => {
    execFile(program, args, { cwd: root, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code) || 1, output: `${stdout}${stderr}` })
    })
  })
}
