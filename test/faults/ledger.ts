import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** One line of a ledger. `at`: milliseconds of the host's monotonic clock, the same for all processes. */
export interface Entry {
  readonly what: string
  readonly at: number
  readonly pid: number
  readonly [field: string]: unknown
}

/** All that the processes wrote, in the order in which it happened. */
export async function readLedgers (folder: string): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const name of await readdir(folder)) entries.push(...parseLedger(await readFile(join(folder, name), 'utf8')))
  return entries.sort((a, b) => a.at - b.at)
}

/** The lines of one ledger. The last may have been cut off by the end of its process; any other must be whole. */
export function parseLedger (text: string): Entry[] {
  const lines = text.split('\n')
  lines.pop() // empty, or cut off
  return lines.map((line) => JSON.parse(line) as Entry)
}

export function monotonic (): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}
