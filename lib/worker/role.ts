import type { Estate } from './messages.js'

/** What a worker can ask of the process that it runs in. */
export interface WorkerRole {
  /** True where a supervisor replaces this process: then it may be given up. */
  readonly supervised: boolean
  /** True where it is to run quarantined tasks, and no others. */
  readonly quarantined: boolean
  /** The supervisor's pipe for the keeper's thread; null where there is none. */
  readonly pipe: number | null
  /** Nothing is claimed under this id before it is over: whoever would have to clean up behind it knows of it by then. */
  onRegistered (worker: string): void | Promise<void>
  onDeregistered (worker: string): void
  /** The first so many rows of the claim have been started, or are about to be. */
  onStart (worker: string, claim: number, rows: number): void
  /** The first endings are written: this process gets something done. */
  onProgress (): void
  /** Quarantined tasks wait for a process of their own. */
  onQuarantine (): void
  /** The process ends and leaves this to be settled when it is gone. */
  onEstate (estate: Estate): void
  /** End the process at once: what it runs may be somebody else's by now. */
  die (): void
}

/** A worker inside somebody else's process, such as a server: it ends nothing but itself. */
export const EMBEDDED: WorkerRole = Object.freeze({
  supervised: false,
  quarantined: false,
  pipe: null,
  onRegistered: () => {},
  onDeregistered: () => {},
  onStart: () => {},
  onProgress: () => {},
  onQuarantine: () => {},
  onEstate: () => {},
  die: () => {}
})
