import t from 'tap'
import { execFileSync } from 'node:child_process'
import { access, readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const folder = new URL('mutants/', import.meta.url)

// That the tests notice them is for `npm run test:mutants`; here, that they still are bugs of this source.
t.test('each of the twelve deliberate bugs can be put into the source as it is, and names tests that exist', async (t) => {
  const patches = (await readdir(folder)).filter((name) => name.endsWith('.patch'))
  t.equal(patches.length, 12)
  for (const name of patches) {
    const text = await readFile(new URL(name, folder), 'utf8')
    const tests = /^Killed by: (.+)$/m.exec(text)?.[1]?.split(' ') ?? []
    t.ok(tests.length > 0, name)
    for (const test of tests) await t.resolves(access(new URL(test, `file://${root}`)), test)
    t.doesNotThrow(() => execFileSync('patch', ['-p1', '--forward', '--dry-run', '--input', fileURLToPath(new URL(name, folder))], { cwd: root, encoding: 'utf8' }), name)
  }
})
