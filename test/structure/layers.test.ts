import t from 'tap'
import { builtinModules } from 'node:module'
import { basename } from 'node:path'
import { importsOf, sources, textsOf, type Import } from './source.ts'

const files = await sources('lib', 'plugins')
const imports = files.flatMap(importsOf)
const ours = new Set(files.map(({ path }) => path))

// Who may use whom, while modules run; types may be borrowed from anywhere. A folder may always use itself.
const ALLOWED: Record<string, readonly string[]> = {
  'lib/core': [],
  'lib/store': ['lib/core'],
  'lib/run': ['lib/core'],
  'lib/backends': ['lib/store', 'lib/run', 'lib/core'],
  'lib/worker': ['lib/backends', 'lib/store', 'lib/run', 'lib/core'],
  'lib/cli': ['lib/worker', 'lib/backends', 'lib/store', 'lib/run', 'lib/core'],
  plugins: ['lib/worker', 'lib/backends', 'lib/store', 'lib/run', 'lib/core'],
  lib: ['plugins', 'lib/backends', 'lib/core'],
  'lib/conformance': ['lib', 'plugins', 'lib/worker', 'lib/backends', 'lib/store', 'lib/run', 'lib/core']
}

/** `lib/core`, `plugins`, or `lib` for the door itself. */
function layerOf (path: string): string {
  const parts = path.split('/')
  return parts[0] === 'plugins' ? 'plugins' : parts.length === 2 ? 'lib' : `lib/${parts[1]}`
}

t.test('imports run one way: lib/index, plugins, { cli, worker, backends }, { run, store }, core', async (t) => {
  const wrong = imports
    .filter(({ to, typeOnly }) => ours.has(to) && !typeOnly)
    .filter(({ from, to }) => layerOf(from) !== layerOf(to) && !(ALLOWED[layerOf(from)] ?? []).includes(layerOf(to)))
    .map(({ from, to }) => `${from} → ${to}`)
  t.same(wrong, [])
})

t.test('every import leads to a file', async (t) => {
  t.same(imports.filter(({ to }) => /^(?:lib|plugins)\//.test(to) && !ours.has(to)).map(({ from, to }) => `${from} → ${to}`), [])
})

t.test('no module waits for itself', async (t) => {
  t.same(cyclesOf(imports.filter(({ typeOnly, dynamic }) => !typeOnly && !dynamic)), [])
})

t.test('the core does no input or output', async (t) => {
  const PURE = new Set(['node:module', 'node:util', 'node:async_hooks', 'node:crypto', 'node:timers/promises', '@fastify/error', 'ms', 'uuid', 'ajv', 'ajv-formats'])
  const wrong = imports.filter(({ from, to, typeOnly }) => layerOf(from) === 'lib/core' && !ours.has(to) && !typeOnly && !PURE.has(packageOf(to)))
  t.same(wrong.map(({ from, to }) => `${from} → ${to}`), [])
})

t.test('only the store speaks to a database: no other folder imports a driver or holds a statement', async (t) => {
  const drivers = new Set(['pg', 'sqlite3', 'better-sqlite3'])
  t.same(imports.filter(({ from, to, typeOnly }) => drivers.has(to) && !typeOnly && layerOf(from) !== 'lib/store').map(({ from, to }) => `${from} → ${to}`), [])
  const STATEMENT = /\b(?:SELECT\s[^]*\bFROM|INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|(?:CREATE|ALTER|DROP)\s+(?:TABLE|INDEX|SCHEMA|DATABASE)|PRAGMA\s+\w|BEGIN(?:\s+\w+)?;|RETURNING\s+\w|ON\s+CONFLICT|LISTEN\s+\S|NOTIFY\s+\S)/
  // The kit's hostile texts are data that only looks like SQL.
  const held = files.filter(({ path }) => layerOf(path) !== 'lib/store' && path !== 'lib/conformance/hostile.ts')
  t.same(held.flatMap((file) => textsOf(file).filter(({ text }) => STATEMENT.test(text)).map(({ line }) => `${file.path}:${line}`)), [])
})

t.test('what is imported is a dependency, a peer or part of Node', async (t) => {
  const { default: manifest } = await import('../../package.json', { with: { type: 'json' } })
  const known = new Set([...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)])
  const used = imports.filter(({ to, typeOnly }) => !ours.has(to) && !typeOnly && !to.startsWith('#')).map(({ to }) => to)
  const foreign = used.filter((name) => !(name.startsWith('node:') ? builtinModules.includes(name.slice('node:'.length)) : known.has(packageOf(name))))
  t.same([...new Set(foreign)], [])
  const packages = new Set(imports.map(({ to }) => packageOf(to)))
  t.same(Object.keys(manifest.dependencies).filter((name) => !packages.has(name)), [])
})

t.test('a file is named after its subject', async (t) => {
  const vague = /^(?:utils?|helpers?|common|misc|manager|shared|lib)(?:\.|$)/
  t.same([...ours].filter((path) => path.split('/').slice(1).some((part) => vague.test(part))), [])
  t.same([...ours].filter((path) => !/^[a-z0-9-]+\.ts$/.test(basename(path))), [])
})

t.test('nothing waits at the top of a module, so that all of it can be required', async (t) => {
  const { default: ts } = await import('typescript')
  const waiting = files.filter(({ path, tree }) => path !== 'lib/cli/bin.ts' && tree.statements.some((statement) => {
    let found = false
    const look = (node: import('typescript').Node): void => {
      if (ts.isFunctionLike(node) || ts.isClassLike(node)) return
      if (ts.isAwaitExpression(node)) found = true
      ts.forEachChild(node, look)
    }
    look(statement)
    return found
  }))
  t.same(waiting.map(({ path }) => path).filter((path) => !path.endsWith('-thread.ts')), [])
})

function packageOf (specifier: string): string {
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

/** The circles in which modules import each other, each as a line of paths. */
function cyclesOf (edges: readonly Import[]): string[] {
  const next = new Map<string, string[]>()
  for (const { from, to } of edges) if (ours.has(to)) next.set(from, [...next.get(from) ?? [], to])
  const cycles: string[] = []
  const done = new Set<string>()
  const visit = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) cycles.push([...trail.slice(at), path].join(' → '))
    if (at >= 0 || done.has(path)) return
    for (const to of next.get(path) ?? []) visit(to, [...trail, path])
    done.add(path)
  }
  for (const path of next.keys()) visit(path, [])
  return cycles
}
