/**
 * The statuses of a task result (DEP 14, and `CANCELLED`) and the moves between them. The store's guards and the
 * README's diagram are tested against this table; nothing else decides which move is legal.
 */
export const TaskResultStatus = Object.freeze({
  READY: 'READY',
  RUNNING: 'RUNNING',
  SUCCESSFUL: 'SUCCESSFUL',
  FAILED: 'FAILED',
  CANCELLED: 'CANCELLED'
} as const)

export type TaskResultStatus = typeof TaskResultStatus[keyof typeof TaskResultStatus]

/** Why a result may move from one status to another, by the store's verb. */
export const TRANSITIONS: ReadonlyArray<Readonly<{ from: TaskResultStatus, to: TaskResultStatus, by: string }>> = Object.freeze([
  { from: 'READY', to: 'RUNNING', by: 'claim' },
  { from: 'READY', to: 'CANCELLED', by: 'cancel' },
  { from: 'RUNNING', to: 'SUCCESSFUL', by: 'finish' },
  { from: 'RUNNING', to: 'FAILED', by: 'finish' },
  { from: 'RUNNING', to: 'CANCELLED', by: 'finish' },
  { from: 'RUNNING', to: 'READY', by: 'retry' },
  { from: 'RUNNING', to: 'READY', by: 'release' },
  { from: 'RUNNING', to: 'CANCELLED', by: 'release' }, // where its cancellation was asked for meanwhile
  { from: 'RUNNING', to: 'READY', by: 'rescue' },
  { from: 'RUNNING', to: 'FAILED', by: 'rescue' },
  { from: 'RUNNING', to: 'CANCELLED', by: 'rescue' },
  { from: 'FAILED', to: 'READY', by: 'requeue' },
  { from: 'CANCELLED', to: 'READY', by: 'requeue' }
])

const FINISHED: ReadonlySet<string> = new Set(['SUCCESSFUL', 'FAILED', 'CANCELLED'])

/** True for the three statuses that end a result. */
export function isFinishedStatus (status: TaskResultStatus): boolean {
  return FINISHED.has(status)
}
