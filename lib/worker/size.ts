import { totalmem } from 'node:os'
import { BOOT_SIZE_FACTOR, MEMORY_KILL_FACTOR, MEMORY_MIN_MB, MEMORY_SHARE } from '../core/limits.js'

const MB = 2 ** 20

/** What is to become of a worker process of some size. */
export type SizeVerdict =
  | 'fits'
  /** It is to end when what it runs has ended. */
  | 'retire'
  /** It grows on all the same, and would take others with it. */
  | 'kill'

/** Judges the memory of one worker process: its resident set, which the kernel would judge by. */
export class Size {
  #limitBytes: number
  #measured = false

  /** @param limitBytes - above it the process is replaced */
  constructor (limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get limitMb (): number {
    return Math.round(this.#limitBytes / MB)
  }

  /**
   * The first measure is of the app alone, once it is up: one that needs more than the limit for itself would only be
   * replaced by its like, so the limit is raised then. Answers true where it was.
   */
  measureBoot (rssBytes: number): boolean {
    if (this.#measured) return false
    this.#measured = true
    const needed = rssBytes * BOOT_SIZE_FACTOR
    if (needed <= this.#limitBytes) return false
    this.#limitBytes = needed
    return true
  }

  judge (rssBytes: number): SizeVerdict {
    if (rssBytes <= this.#limitBytes) return 'fits'
    return rssBytes <= this.#limitBytes * MEMORY_KILL_FACTOR ? 'retire' : 'kill'
  }
}

/** The limit of each of so many processes, in bytes: as was asked for, or a share of what the container or the host has. */
export function memoryLimit (maxMemoryMb: number | null, processes: number): number {
  if (maxMemoryMb !== null) return maxMemoryMb * MB
  const constrained = process.constrainedMemory()
  const total = constrained > 0 && constrained < totalmem() ? constrained : totalmem()
  return Math.max(MEMORY_MIN_MB * MB, total * MEMORY_SHARE / processes)
}
