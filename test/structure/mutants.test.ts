import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { root } from './source.ts'

const folder = 'test/faults/mutants'

t.test('every deliberate bug can be put into the code as it is', async (t) => {
  const patches = (await readdir(join(root, folder))).filter((name) => name.endsWith('.patch'))
  t.ok(patches.length >= 12)
  for (const name of patches) {
    const applied = promisify(execFile)('patch', ['-p1', '--dry-run', '--forward', '--input', join(folder, name)], { cwd: root })
    await t.resolves(applied, name)
  }
})
