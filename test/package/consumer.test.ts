import t from 'tap'
import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { compile } from './compile.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const consumers = join(import.meta.dirname, 'consumers')
const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string, dependencies: Record<string, string> }

// What a consumer has beside the package: what it depends on, and what the consumer itself installed. Nothing else of
// this repository can be found from there.
const INSTALLED = [...Object.keys(manifest.dependencies), 'fastify', 'sqlite3', 'typescript', '@types/node']

const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noImplicitOverride: true,
  noPropertyAccessFromIndexSignature: true,
  skipLibCheck: false,
  target: 'ES2022',
  types: ['node']
}

let folder = ''
let tarball: string[] = []

t.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-consumer-'))
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder], { cwd: root })
  const [packed] = JSON.parse(stdout) as Array<{ filename: string, files: Array<{ path: string }> }>
  tarball = packed!.files.map(({ path }) => path)
  const home = join(folder, 'node_modules/fastify-tasks')
  await mkdir(home, { recursive: true })
  await run('tar', ['-xzf', join(folder, packed!.filename), '-C', home, '--strip-components=1'])
  for (const name of INSTALLED) {
    const link = join(folder, 'node_modules', name)
    await mkdir(dirname(link), { recursive: true })
    await symlink(join(root, 'node_modules', name), link)
  }
})

t.after(async () => { await rm(folder, { recursive: true, force: true }) })

/** Compile files as a project of its own, and run what came out; answers what it printed. */
async function consume (files: readonly string[], type: 'module' | 'commonjs', compilerOptions: object): Promise<string[]> {
  const project = await mkdtemp(join(folder, 'project-'))
  for (const file of files) await copyFile(join(consumers, file), join(project, file))
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type }))
  await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...STRICT, ...compilerOptions, outDir: 'out', rootDir: '.' }, files }))
  const wrong = compile(project)
  if (wrong.length > 0) throw new Error(wrong.slice(0, 5).join('\n'))
  return await Promise.all(files.map(async (file) => await execute([join(project, 'out', file.replace(/\.ts$/, '.js'))], project)))
}

async function execute (args: readonly string[], cwd: string): Promise<string> {
  const env = { PATH: process.env['PATH'], CONSUMER_DATABASE_URL: `sqlite:${join(cwd, 'tasks.sqlite3')}` }
  const { stdout } = await run(process.execPath, [...args], { cwd, env, timeout: 60_000 })
  return stdout.trim()
}

t.test('the tarball holds what is needed to run and to read, and nothing else', async (t) => {
  for (const path of ['README.md', 'LICENSE', 'CHANGELOG.md', 'package.json', 'dist/lib/index.js', 'dist/lib/index.cjs', 'dist/lib/index.d.ts', 'dist/lib/index.d.cts', 'dist/lib/worker/index.d.cts', 'dist/lib/conformance/index.d.cts', 'dist/lib/cli/bin.js']) {
    t.ok(tarball.includes(path), path)
  }
  t.same(tarball.filter((path) => !/^(?:README\.md|LICENSE|CHANGELOG\.md|package\.json|dist\/(?:lib|plugins)\/[\w./-]+\.(?:js|cjs|js\.map|d\.ts|d\.cts))$/.test(path)), [])
})

t.test('a consumer in ES modules compiles under strict and runs', async (t) => {
  t.same(await consume(['esm.ts'], 'module', { module: 'nodenext' }), ['esm consumer ran'])
})

t.test("a consumer with a bundler's resolution compiles and runs", async (t) => {
  t.same(await consume(['esm.ts'], 'module', { module: 'esnext', moduleResolution: 'bundler' }), ['esm consumer ran'])
})

for (const module of ['node16', 'nodenext']) {
  t.test(`a consumer in CommonJS compiles under strict and ${module}, with require and with import, and runs`, async (t) => {
    t.same(await consume(['cjs.ts', 'interop.ts'], 'commonjs', { module, esModuleInterop: true }), ['cjs consumer ran', 'interop consumer ran'])
  })
}

t.test('a consumer with the old resolution of modules compiles and runs', async (t) => {
  t.same(await consume(['interop.ts'], 'commonjs', { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0', esModuleInterop: true }), ['interop consumer ran'])
})

t.test('require() gives the plugin with everything else as its properties, from the same copy as import', async (t) => {
  await copyFile(join(consumers, 'plain.cjs'), join(folder, 'plain.cjs'))
  t.equal(await execute([join(folder, 'plain.cjs')], folder), 'plain consumer ran')
})

t.test('the command line runs from where it was installed', async (t) => {
  const bin = join(folder, 'node_modules/fastify-tasks/dist/lib/cli/bin.js')
  t.equal((await execute([bin, '--version'], folder)).includes(manifest.version), true)
  t.match(await execute([bin, 'migrate', '--database-url', 'sqlite:./cli.sqlite3'], folder), /./)
})
