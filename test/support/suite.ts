import { execFile, type ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import { chmod, mkdtemp, readdir } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import t from 'tap'
import { buildTests } from '../../scripts/build-tests.js'
import { fastFolder } from './memory.ts'
import { serverUrl } from './postgres.ts'

// node --import=tsx test/support/suite.ts [--checks] [file …]: all test files or these, each in a process of its own, on
// one PostgreSQL; with --checks the linter and the type checks beside them. `tap run` would put loaders of its own into
// every process and every thread that a test starts, which took more than half of the time.

const TIMEOUT_S = 900 // for a file that hangs; nothing is measured by it
const JOBS = 3 // many of them mostly wait
const CHECKS = ['lint', 'typecheck', 'test:types']

const LOADED = 'test/loader/' // with tsx, as they are about processes that have a loader

// Begun first, so that none of them runs alone at the end.
const LONG = [
  'conformance/stores', 'faults/postgres-smoke', 'example/demo', 'package/consumer', 'process/crashes', 'process/stopping',
  'conformance/backends', 'example/kill', 'worker/isolation', 'process/boot', 'faults/every-call', 'process/supervisor'
].map((name) => `test/${name}.test.ts`)

const root = resolve(import.meta.dirname, '../..')
const args = process.argv.slice(2)
const given = args.filter((arg) => arg !== '--checks').map((file) => relative(root, resolve(file)))
const files = given.length > 0 ? given : await all()
if (process.env['TASKS_TEST_ONLY'] !== 'sqlite') process.env['TASKS_TEST_DATABASE_URL'] = await serverUrl()
const built = await buildTests(files)

t.jobs = Number(process.env['TASKS_TEST_JOBS'] ?? JOBS)
t.setTimeout(0)
// A run that is stopped leaves none behind.
const started: Array<{ proc?: ChildProcess | null }> = []
t.on('subtestStart', (test) => { started.push(test as { proc?: ChildProcess | null }) })
process.on('exit', () => { for (const { proc } of started) proc?.kill() })
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => { process.exit(1) })

// t.spawn() says in NODE_OPTIONS that a loader is to watch each process and thread, for coverage: it is taken out again.
const env = { ...process.env, TMPDIR: await temporaryFolder(), TAP_TIMEOUT: String(TIMEOUT_S) }
for (const [index, name] of files.entries()) {
  const flags = name.startsWith(LOADED) ? ['--enable-source-maps', '--import=tsx'] : ['--enable-source-maps']
  void t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, ...flags, built[index] as string], { name, buffered: true, timeout: TIMEOUT_S * 1_000, env })
}
for (const check of args.includes('--checks') ? CHECKS : []) {
  void t.test(`npm run ${check}`, { buffered: true, timeout: TIMEOUT_S * 1_000 }, async (t) => {
    const { code, output } = await run('npm', ['run', check])
    t.equal(code, 0, output)
  })
}

async function all (): Promise<string[]> {
  const names = await readdir(resolve(root, 'test'), { recursive: true })
  const files = names.filter((name) => name.endsWith('.test.ts') && !name.startsWith('browser')).map((name) => `test/${name}`).sort()
  return [...LONG, ...files.filter((file) => !LONG.includes(file))]
}

/** For what tests write, in memory where there is some: theirs are databases and servers of a moment. Gone with this process. */
async function temporaryFolder (): Promise<string> {
  const folder = await mkdtemp(join(await fastFolder(), 'fastify-tasks-run-'))
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
