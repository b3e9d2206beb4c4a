// @ts-check
/**
 * Compiles the tests to a folder in .tests/, once for all of their processes: with a loader that compiles them as they are read,
 * each process and each of its threads costs half a second more. What a test takes from elsewhere stays where it is, and
 * the places that it knows by `import.meta` are those of its source.
 */
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const root = resolve(import.meta.dirname, '..')
/** @type {string[]} */
const outdirs = []
process.on('exit', () => { for (const outdir of outdirs) rmSync(outdir, { recursive: true, force: true }) })

/**
 * @param {readonly string[]} files the tests, from the root of the package
 * @param {{ together?: boolean }} [options] `together`: to be run by test/support/together.js
 * @returns {Promise<string[]>} what they have become, in their order
 */
export async function buildTests (files, { together = false } = {}) {
  await mkdir(join(root, '.tests'), { recursive: true })
  const outdir = await mkdtemp(join(root, '.tests/run-')) // runs beside each other have one each
  outdirs.push(outdir)
  await build({
    absWorkingDir: root,
    entryPoints: [...files],
    outdir,
    outbase: root,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'linked',
    logLevel: 'warning',
    plugins: [...together ? [{ name: 'together', setup: shareProcess }] : [], { name: 'sources', setup: keepPlaces }]
  })
  return files.map((file) => join(outdir, file.replace(/\.ts$/, '.js')))
}

/** @param {import('esbuild').PluginBuild} build */
function keepPlaces (build) {
  build.onResolve({ filter: /./ }, ({ path, resolveDir, kind }) => {
    if (kind === 'entry-point') return undefined
    if (!path.startsWith('.')) return { path, external: true }
    const file = resolve(resolveDir, path)
    return file.endsWith('.ts') ? { path: file } : { path: pathToFileURL(file).href, external: true }
  })
  build.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
    const source = await readFile(path, 'utf8')
    const contents = source
      .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href))
      .replaceAll('import.meta.dirname', JSON.stringify(dirname(path)))
    return { contents, loader: 'ts' }
  })
}

/**
 * What a file gets for tap is not the root of its process, but the test that stands for the file.
 * @param {import('esbuild').PluginBuild} build
 */
function shareProcess (build) {
  build.onResolve({ filter: /^tap$/ }, () => ({ path: 'tap', namespace: 'together' }))
  build.onLoad({ filter: /./, namespace: 'together' }, () => ({ contents: 'export default globalThis.testOfThisFile' }))
}
