import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A library to preload, made of a source in processes/. Null where it cannot be made: that takes the C compiler of a Linux host. */
export async function preloadable (source: string, folder: string): Promise<string | null> {
  if (process.platform !== 'linux') return null
  const library = join(folder, source.replace(/\.c$/, '.so'))
  try {
    await run('cc', ['-shared', '-fPIC', '-O2', '-o', library, fileURLToPath(new URL(`processes/${source}`, import.meta.url)), '-ldl'])
    return library
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ENOENT') return null // there is no compiler
    throw error
  }
}
