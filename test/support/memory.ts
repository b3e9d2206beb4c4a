import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'

const MEMORY = '/dev/shm' // a file system in memory makes and drops databases several times faster
const MEMORY_MIN_BYTES = 2 ** 31

/** Where files of a test run are to be: in memory, where there is enough of it. */
export async function fastFolder (): Promise<string> {
  const space = await statfs(MEMORY).catch(() => null)
  return space !== null && space.bavail * space.bsize >= MEMORY_MIN_BYTES ? MEMORY : tmpdir()
}
