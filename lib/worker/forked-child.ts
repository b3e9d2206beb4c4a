import { fork, type ChildProcess } from 'node:child_process'
import { ROLE_VARIABLE, type ChildMessage, type ChildRole, type Estate, type SupervisorMessage } from './messages.js'
import type { Size } from './size.js'
import { openRecordFile, type RecordFile } from './start-record.js'

/** A worker process, as its supervisor sees it. */
export interface Child {
  readonly role: ChildRole
  readonly process: ChildProcess
  readonly startedAt: number
  readonly record: RecordFile | null
  readonly size: Size
  /** It was told to end because of its size. */
  retiring: boolean
  /** Estates that it was given and has not settled. */
  inherited: readonly Estate[]
  /** Worker ids under which it may hold something. */
  readonly workers: Set<string>
  estates: Estate[]
  ready: boolean
  /** It has finished tasks: what killed it was not the worker's own fault, and others wait. */
  progressed: boolean
  ended: { started: number, replace: boolean } | null
  /** It has heard that it is to stop now. */
  stopping: boolean
  /** It has answered since it was last told to stop. */
  answered: boolean
  /** It was killed because it did not hear of that: what it ran is not to blame. */
  spared: boolean
  /** When it, or its keeper, was last heard of; null until it has registered. */
  aliveAt: number | null
}

// A worker makes garbage by the gigabyte and keeps little: left alone, V8 lets its heap grow to four times what is in use
// before it looks, where 1.5 times costs hardly more. Flags of the user's own come later, and win.
const HEAP_FLAGS = ['--heap-growing-percent=50']

/**
 * Start the supervisor's own script once more, in a role, and give it its orders. Null where the system refuses a
 * process, for want of memory, files or processes: its reason is printed.
 */
export function forkChild (script: string, role: ChildRole, { estates, maxTasks, size }: { estates: readonly Estate[], maxTasks: number | null, size: Size }): Child | null {
  const record = role === 'heir' ? null : openRecordFile()
  const forked = tryFork(script, role, record)
  if (forked === null) {
    record?.close()
    return null
  }
  const child: Child = {
    role,
    process: forked,
    startedAt: performance.now(),
    record,
    size,
    retiring: false,
    inherited: estates,
    workers: new Set(),
    estates: [],
    ready: false,
    progressed: false,
    ended: null,
    stopping: false,
    answered: false,
    spared: false,
    aliveAt: null
  }
  forked.on('message', (message: ChildMessage) => {
    if (message.type === 'hello') tell(child, { type: 'orders', orders: { estates, maxTasks, record: record !== null } })
  })
  return child
}

function tryFork (script: string, role: ChildRole, record: RecordFile | null): ChildProcess | null {
  let forked: ChildProcess
  try {
    forked = fork(script, process.argv.slice(2), {
      env: { ...process.env, [ROLE_VARIABLE]: role },
      execArgv: [...HEAP_FLAGS, ...process.execArgv],
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', 'pipe', record?.file ?? 'ignore'],
      detached: role === 'heir' // a terminal's second Ctrl-C is not for the one that hands back
    })
  } catch (error) {
    printError(error as Error)
    return null
  }
  forked.on('error', printError)
  if (forked.pid !== undefined) return forked
  // Some errors are thrown, others told of later; then there may be no streams, or such as end in errors of their own.
  for (const stream of (forked.stdio as ChildProcess['stdio'] | undefined) ?? []) stream?.on('error', () => {}).destroy()
  return null
}

function printError (error: Error): void {
  console.error(`fastify-tasks: a worker process: ${error.message}`)
}

export function tell (child: Child, message: SupervisorMessage): void {
  if (child.process.connected) child.process.send(message, () => {}) // it may be gone by the time it is sent
}
