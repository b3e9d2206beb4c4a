import t from 'tap'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as api from 'fastify-tasks'
import * as worker from 'fastify-tasks/worker'
import * as testing from 'fastify-tasks/testing'
import { COMMANDS } from '#lib/cli/commands.js'
import * as errorTable from '#lib/core/errors.js'
import * as limits from '#lib/core/limits.js'
import { durationToMs } from '#lib/core/duration.js'
import { TRANSITIONS } from '#lib/core/status.js'
import { checkDefinition } from '#lib/core/task-options.js'
import { WORKER_OPTIONS } from '#lib/worker/options.js'
import { VARIABLES } from '#plugins/environment.js'
import { codes, readme, table, tables } from './readme.ts'
import { root, sources, textsOf } from './source.ts'

// What is said in several places is said once in the code, and the others are held to it.

const { FatalTaskError, ...classes } = errorTable
type ErrorClass = new (...values: string[]) => Error & { code: string, statusCode?: number }

t.test("the README's table of errors is the table of errors", async (t) => {
  const documented = new Map(table('code').rows.map(([code, status, meaning, remedy]) => [codes(code!)[0], { status, meaning, remedy }]))
  const made = Object.entries(classes).map(([name, Class]) => ({ name, error: new (Class as unknown as ErrorClass)('x', 'x', 'x') }))
  for (const { name, error } of made) {
    t.equal(error.code, `FST_TASKS_${name}`)
    t.equal(documented.get(error.code)?.status, String(error.statusCode), `${error.code} is documented with its status code`)
    t.ok((documented.get(error.code)?.meaning ?? '').length > 0 && (documented.get(error.code)?.remedy ?? '').length > 0, `${error.code} says what it means and what to do`)
  }
  t.same([...documented.keys()].sort(), [...made.map(({ error }) => error.code), new FatalTaskError().code].sort())
  t.same(Object.keys(api.errors).sort(), Object.keys(classes).sort())
})

t.test('every error code that is written anywhere is one of the table', async (t) => {
  const known = new Set([...Object.keys(classes).map((name) => `FST_TASKS_${name}`), 'FST_TASKS_FATAL'])
  const files = await Promise.all((await sources('lib', 'plugins')).map(async ({ path }) => ({ path, text: await readFile(join(root, path), 'utf8') })))
  for (const { path, text } of [...files, { path: 'README.md', text: readme }]) {
    const unknown = [...text.matchAll(/FST_TASKS_[A-Z_]*[A-Z]/g)].map(([code]) => code).filter((code) => !known.has(code))
    t.same(unknown, [], path)
  }
})

t.test('every error of the table is thrown, or made, somewhere', async (t) => {
  const texts = await Promise.all((await sources('lib', 'plugins')).filter(({ path }) => path !== 'lib/core/errors.ts').map(async ({ path }) => await readFile(join(root, path), 'utf8')))
  for (const name of Object.keys(classes)) t.ok(texts.some((text) => new RegExp(`\\b${name}\\b`).test(text)), name)
})

t.test("the README's statuses and their moves are those of the table of moves", async (t) => {
  const { rows } = table('status')
  t.same(rows.map(([status]) => codes(status!)[0]).sort(), Object.values(api.TaskResultStatus).sort())
  for (const [status, , next] of rows) {
    const moves = TRANSITIONS.filter(({ from }) => from === codes(status!)[0])
    t.same(codes(next!).filter((code) => Object.hasOwn(api.TaskResultStatus, code)).filter(unique).sort(), moves.map(({ to }) => to as string).filter(unique).sort(), `after ${status}`)
    for (const { by } of moves) if (by !== 'requeue') t.match(next, by, `${status} says ${by}`)
  }
})

t.test("the README's environment variables are those that are read", async (t) => {
  const documented = table('variable').rows.map(([name]) => codes(name!)[0]!)
  t.same(documented.filter((name) => !name.endsWith('…')).sort(), [...VARIABLES].sort())
  const flags = new Set(WORKER_OPTIONS.map(({ env }) => env))
  const known = new Set([...VARIABLES, ...flags, 'TASKS_TEST_DATABASE_URL', 'TASKS_TEST_ONLY', 'TASKS_TEST_JOBS', 'TASKS_TEST_BROWSER', 'TASKS_TEST_SCREENSHOTS'])
  const written = [...readme.matchAll(/(?<!FST_)\bTASKS_[A-Z_]*[A-Z]\b/g)].map(([name]) => name)
  t.same(written.filter((name) => !known.has(name as never)).filter(unique), [])
  for (const file of await sources('lib', 'plugins')) {
    const used = textsOf(file).flatMap(({ text }) => text.match(/(?<!FST_)\bTASKS_[A-Z_]*[A-Z]\b/g) ?? [])
    t.same(used.filter((name) => !known.has(name as never)), [], file.path)
  }
})

t.test("the README's worker flags are those of the worker, with their variables and defaults", async (t) => {
  const documented = tables().find(({ headings }) => headings[0] === 'flag' && headings[1] === 'variable')!
  const rows = new Map(documented.rows.map(([flag, variable, value]) => [codes(flag!)[0]!.split(' ')[0]!, { variable: codes(variable!)[0], value: value! }]))
  t.same([...rows.keys()].sort(), WORKER_OPTIONS.map(({ flag }) => `--${flag}`).sort())
  for (const option of WORKER_OPTIONS) {
    t.equal(rows.get(`--${option.flag}`)?.variable, option.env)
    const value = codes(rows.get(`--${option.flag}`)?.value ?? '')[0]
    const isDuration = option.kind === 'duration' && option.default !== undefined && durationToMs(option.default) !== null
    if (isDuration && value !== undefined) t.equal(durationToMs(/^\d+$/.test(value) ? Number(value) : value), durationToMs(/^\d+$/.test(option.default!) ? Number(option.default) : option.default), `the default of --${option.flag}`)
  }
})

t.test("the README's defaults are the limits", async (t) => {
  const worker = new Map(tables().find(({ headings }) => headings[0] === 'flag' && headings[1] === 'variable')!.rows.map(([flag, , value]) => [codes(flag!)[0]!.split(' ')[0], codes(value!)[0]]))
  const milliseconds: Array<[string, number]> = [['--interval', limits.INTERVAL_MS], ['--shutdown-grace', limits.SHUTDOWN_GRACE_MS], ['--lease', limits.LEASE_MS], ['--sweep', limits.SWEEP_MS]]
  for (const [flag, value] of milliseconds) t.equal(durationToMs(worker.get(flag)), value, flag)
  t.equal(Number(worker.get('--concurrency')), limits.CONCURRENCY)

  const backend = new Map(table('backend option').rows.flatMap(([names, value]) => codes(names!).map((name) => [name, codes(value!)])))
  t.same(backend.get('crashBudget'), [String(limits.CRASH_BUDGET)])
  t.same(backend.get('maxArgumentBytes'), [String(limits.ARGUMENT_BYTES_MAX)])
  t.equal(limits.RESULT_BYTES_MAX, limits.ARGUMENT_BYTES_MAX, 'the README says that both have one limit')
  t.same(backend.get('maxDepth'), [String(limits.DEPTH_MAX)])
  t.equal(durationToMs(backend.get('timeoutGrace')!.find((code) => code.includes('s'))!.replaceAll("'", '')), limits.TIMEOUT_GRACE_MS)

  const plugin = new Map(table('option of `register`').rows.map(([name, value]) => [codes(name!)[0], codes(value!)[0]]))
  t.equal(durationToMs(plugin.get('flushRetry')!.replaceAll("'", '')), limits.FLUSH_RETRY_MS)
  const days = 24 * 3_600_000
  t.match(readme, `--min-age\` (${limits.PRUNE_MIN_AGE_MS / days}d)`)
  t.match(readme, `--failed-min-age\` (${limits.PRUNE_FAILED_MIN_AGE_MS / days}d)`)
  t.match(readme, `\`--limit\` (${limits.LIST_LIMIT})`)
})

t.test("the README's task options are those that a task takes", async (t) => {
  const documented = table('option').rows.map(([name]) => codes(name!)[0]!)
  const known = Object.keys(checkDefinition('x', {}))
  t.same(documented.filter((name) => !known.includes(name)), [])
  // Options that no backend of ours carries yet are taken by the types, and refused.
  const later = ['onSuccess', 'onFailure']
  t.same(known.filter((name) => !documented.includes(name) && !later.includes(name)), [])
})

t.test("the README's commands are those of the command line", async (t) => {
  const documented = table('command').rows.flatMap(([command]) => codes(command!)).map((command) => command.split(' ')[0])
  t.same(documented.sort(), COMMANDS.map(({ name }) => name).sort())
})

t.test('what the README says is exported is what is exported', async (t) => {
  const documented = new Map(table('entry').rows.map(([entry, values]) => [codes(entry!)[0], codes(values!)]))
  const exported = { 'fastify-tasks': api, 'fastify-tasks/worker': worker, 'fastify-tasks/testing': testing }
  for (const [entry, values] of Object.entries(exported)) {
    const names = Object.keys(values).filter((name) => name !== 'default').sort()
    t.same(documented.get(entry)?.slice().sort(), names, entry)
  }
})

t.test('every public entry has its file, its types and its doors for both kinds of modules', async (t) => {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string, exports: Record<string, unknown> }
  const paths: string[] = []
  const collect = (value: unknown): void => { if (typeof value === 'string') paths.push(value); else Object.values(value as object).forEach(collect) }
  collect(manifest.exports)
  for (const path of paths) await t.resolves(readFile(join(root, path)), path)
  t.match(await readFile(join(root, 'CHANGELOG.md'), 'utf8'), `## ${manifest.version}`)
})

function unique<T> (value: T, index: number, all: readonly T[]): boolean {
  return all.indexOf(value) === index
}
