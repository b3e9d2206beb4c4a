import { readdir, readFile } from 'node:fs/promises'

const TICK_MS = 10 // Linux counts in hundredths of a second

/**
 * Milliseconds of CPU that a process and its children have taken, those that have ended included. Unlike the time of a
 * clock it says the same on a busy machine. Null where there is no /proc.
 */
export async function cpuOf (pid) {
  const parent = await times(pid)
  if (parent === null) return null
  let ticks = parent.own + parent.ended
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const child = await times(name)
    if (child?.parent === pid) ticks += child.own + child.ended
  }
  return ticks * TICK_MS
}

async function times (pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (stat === null) return null
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number) // the name before may hold spaces
  return { parent: fields[1], own: fields[11] + fields[12], ended: fields[13] + fields[14] }
}
