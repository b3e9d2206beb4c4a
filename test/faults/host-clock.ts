import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { preloadable } from './preloadable.ts'

/** Dates that can be set, for the processes that are given their environment: for all that they use, SQLite included. */
export interface HostClock {
  /** The environment of a process on the host of this name. */
  env (host: string): Promise<NodeJS.ProcessEnv>
  /** Milliseconds by which the date of a host is wrong from now on. */
  set (host: string, offsetMs: number): Promise<void>
  close (): Promise<void>
}

/** Null where it cannot be had: it is a library to preload, made with the C compiler of a Linux host. */
export async function openHostClock (): Promise<HostClock | null> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-clock-'))
  const close = async (): Promise<void> => { await rm(folder, { recursive: true, force: true }) }
  const library = await preloadable('host-clock.c', folder)
  if (library === null) {
    await close()
    return null
  }
  const files = new Map<string, string>()
  const fileOf = async (host: string): Promise<string> => {
    const file = files.get(host) ?? join(folder, host)
    if (!files.has(host)) await writeFile(file, Buffer.alloc(8))
    files.set(host, file)
    return file
  }
  return {
    env: async (host) => ({ LD_PRELOAD: library, HOST_CLOCK: await fileOf(host) }),
    async set (host, offsetMs) {
      const bytes = Buffer.alloc(8)
      bytes.writeBigInt64LE(BigInt(Math.round(offsetMs)))
      await writeFile(await fileOf(host), bytes, { flag: 'r+' }) // in place: the processes have this very file in their memory
    },
    close
  }
}
