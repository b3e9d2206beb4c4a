import type { Ending } from '../store/store.js'
import type { Started } from './start-record.js'

/** What a worker process is for. */
export type ChildRole =
  /** Runs tasks. */
  | 'worker'
  /** Runs quarantined tasks, one at a time, until there are none. */
  | 'quarantine'
  /** Settles estates and ends. */
  | 'heir'

/** What a worker that is gone has left behind. */
export interface Estate {
  /** Its id. */
  readonly worker: string
  /** Endings of attempts that had not settled while the process lived. */
  readonly endings: readonly Ending[]
  /**
   * True where it died in the middle of things: what it was running is charged with the death. False where it was ended
   * on purpose: what it still holds is handed back uncharged.
   */
  readonly died: boolean
  /** How far it had come with what it had claimed; null where that is not known. */
  readonly started: Started | null
}

/** What the supervisor tells a worker process at its start. */
export interface ChildOrders {
  readonly estates: readonly Estate[]
  /** Attempts it may start; null for no limit. */
  readonly maxTasks: number | null
  /** True where it is to write down what it starts; see StartRecord. */
  readonly record: boolean
}

/** From a worker process to its supervisor, over IPC. */
export type ChildMessage =
  /** It listens, and waits for its orders: what is sent before, the app may take for its own. */
  | { readonly type: 'hello' }
  /** The app is up, which took so long from the start of the process; tries that met no database are not counted. */
  | { readonly type: 'booted', readonly bootMs: number }
  /** The estates it was given are settled. */
  | { readonly type: 'settled' }
  /** The app is up, and it works under this id from now on. */
  | { readonly type: 'registered', readonly worker: string, readonly rssBytes: number }
  /** It holds nothing under this id any more. */
  | { readonly type: 'deregistered', readonly worker: string }
  /** It ends and leaves attempts behind that have not settled. */
  | { readonly type: 'estate', readonly estate: Estate }
  /** It has written its first endings. */
  | { readonly type: 'progress' }
  /** Its main loop turns. */
  | { readonly type: 'alive' }
  /** It has heard that it is to stop; once more for each time it is asked. */
  | { readonly type: 'stopping', readonly now: boolean }
  /** There are quarantined tasks to be run. */
  | { readonly type: 'quarantine' }
  /** It has ended in order. `replace`: there is work for another in its place, unless the supervisor was told to stop. */
  | { readonly type: 'ended', readonly started: number, readonly replace: boolean }

/** From the supervisor to a worker process, over IPC. */
export type SupervisorMessage =
  /** The first one, when it has said hello. */
  | { readonly type: 'orders', readonly orders: ChildOrders }
  /** It knows the id that was registered last: tasks may be claimed under it. */
  | { readonly type: 'noted' }
  /** Said again when the grace is over: whoever does not answer then hears nothing. */
  | { readonly type: 'stop', readonly now: boolean }
  /** It is too large: claim nothing more, and end when what runs has ended. */
  | { readonly type: 'retire' }

/** From the keeper's thread to the supervisor, over a pipe: written without the main loop. */
export type PipeMessage =
  | { readonly type: 'alive', readonly rssBytes: number }
  /** It kills its process because the main loop stands still. */
  | { readonly type: 'blocked', readonly worker: string, readonly blockedMs: number, readonly endings: readonly Ending[] }

/** The environment variable that makes a process a worker process of a supervisor, by its role; taken out at its start. */
export const ROLE_VARIABLE = 'FASTIFY_TASKS_WORKER_ROLE'
/** File descriptor of the pipe, behind stdin, stdout, stderr and the IPC channel. */
export const PIPE_FD = 4
/** And of the record of starts. */
export const RECORD_FD = 5
