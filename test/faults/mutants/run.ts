// npm run test:mutants [-- NAME …]: are the tests worth anything? Each patch beside this file puts one deliberate bug
// into a copy of the package; the tests that it names must fail there, and pass without it.
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { cp, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const here = fileURLToPath(new URL('.', import.meta.url))
const COPIED = ['lib', 'plugins', 'scripts', 'test', 'package.json', 'tsconfig.json', 'README.md']

const HANGS_S = '180' // a bug may also show in a test that never ends

interface Mutant { readonly name: string, readonly what: string, readonly tests: readonly string[] }
interface Answer { readonly code: number, readonly output: string }

// Of the source as it is now, whatever becomes of it meanwhile.
const base = await mkdtemp(join(tmpdir(), 'fastify-tasks-mutants-'))
for (const name of COPIED) await cp(join(root, name), join(base, name), { recursive: true })
process.on('exit', () => { rmSync(base, { recursive: true, force: true }) })

let failures: string[] = []
const wanted = process.argv.slice(2)
const mutants = (await Promise.all((await readdir(here)).filter((name) => name.endsWith('.patch')).sort().map(readMutant)))
  .filter(({ name }) => wanted.length === 0 || wanted.includes(name))
if (mutants.length === 0) throw new Error('There is no such mutant')
const tests = [...new Set(mutants.flatMap(({ tests }) => tests))]
if (!await inCopy(null, async (folder) => await passes(folder, tests))) {
  console.error(`The tests fail without any bug, and would prove nothing:\n${failures.join('\n')}`)
  process.exit(1)
}
console.log(`without a bug: ${tests.length} test files pass`)
for (const { name, what, tests } of mutants) {
  const survived = await inCopy(`${name}.patch`, async (folder) => await passes(folder, tests))
  console.log(`${survived ? 'SURVIVED' : 'killed'}: ${name} (${what})${survived ? '' : `, by:\n${failures.join('\n')}`}`)
  if (survived) process.exitCode = 1
}

/** The head of a patch says what it breaks and which tests are to notice. */
async function readMutant (file: string): Promise<Mutant> {
  const text = await readFile(join(here, file), 'utf8')
  const field = (name: string): string => {
    const value = new RegExp(`^${name}: (.+)$`, 'm').exec(text)?.[1]
    if (value === undefined) throw new Error(`${file} does not say '${name}:'`)
    return value
  }
  return { name: file.replace('.patch', ''), what: field('Bug'), tests: field('Killed by').split(' ') }
}

async function inCopy<T> (patch: string | null, body: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-mutant-'))
  try {
    await cp(base, folder, { recursive: true })
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
    if (patch !== null) await must(folder, 'patch', ['-p1', '--forward', '--input', join(base, 'test/faults/mutants', patch)])
    await must(folder, process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'])
    await must(folder, process.execPath, ['scripts/commonjs-door.js'])
    return await body(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function passes (folder: string, tests: readonly string[]): Promise<boolean> {
  const { code, output } = await run(folder, process.execPath, ['--import=tsx', 'test/support/suite.ts', ...tests])
  if (code === 0) return true
  failures = output.split('\n').filter((line) => /^ *not ok \d/.test(line))
  // A bug is found by a test that fails, not by a run that never began.
  if (!/^ *not ok \d/m.test(output)) throw new Error(`The tests did not run:\n${output.slice(-2_000)}`)
  return false
}

async function must (folder: string, program: string, args: readonly string[]): Promise<void> {
  const { code, output } = await run(folder, program, args)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} failed:\n${output.slice(-2_000)}`)
}

async function run (folder: string, program: string, args: readonly string[]): Promise<Answer> {
  return await new Promise((resolve) => {
    execFile(program, args, { cwd: folder, maxBuffer: 2 ** 28, env: { ...clean(process.env), TASKS_TEST_TIMEOUT: HANGS_S } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, output: `${stdout}${stderr}` })
    })
  })
}

/** What a test runner around this one put into the environment is not for the one within. */
function clean (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(?:TAP|_TAPJS|NODE_OPTIONS$|NODE_V8_COVERAGE$)/.test(name)))
}
