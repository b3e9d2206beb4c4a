import { execFileSync } from 'node:child_process'
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os'
import { adapterOf } from '../adapters/adapters.js'

/** What the figures were measured on. */
export function machine () {
  const [{ model } = { model: 'unknown' }] = cpus()
  return {
    date: new Date().toISOString(),
    commit: commit(),
    cores: cpus().length,
    cpu: model.trim(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    loadBefore: loadavg().map((load) => Math.round(load * 10) / 10)
  }
}

export async function versions (contestants) {
  const adapters = [...new Set(contestants.map(({ adapter }) => adapter))]
  return await Promise.all(adapters.map(async (name) => (await adapterOf(name)).version()))
}

function commit () {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return 'unknown' // no clone, but an archive of it
  }
}
