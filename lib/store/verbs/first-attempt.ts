import type { ClaimedRow, ClaimRequest, Cursor, StoredError } from '../store.js'
import type { TaskResultStatus } from '../../core/status.js'
import { errorsOf, workerIdsOf } from '../row.js'

/** What the rows of one claim have in common, and most of them also beyond that. */
export interface SharedFields {
  readonly backend: string
  readonly claim: number
  readonly workerIds: readonly string[]
  /** Of its first row. */
  readonly task: string
  readonly queue: string
}

export function sharedBy (first: readonly unknown[], { backend, worker, claim }: Pick<ClaimRequest, 'backend' | 'worker' | 'claim'>): SharedFields {
  const [, task, queue] = first as [unknown, string, string]
  return { backend, claim, workerIds: Object.freeze(workerIdsOf(null, worker)), task, queue }
}

/**
 * A row that was claimed to run for the first time, as most are. It keeps no more than what is its own: thousands wait
 * for their turn, and each time that V8 collects its young garbage, it copies what they keep.
 */
export class FirstAttempt implements ClaimedRow {
  readonly id: string
  readonly task: string
  readonly queue: string
  readonly priority: number
  readonly args: string
  readonly due: number
  readonly lastAttemptedAt: number
  readonly #tie: number
  readonly #shared: SharedFields

  /** @param tuple - in the order of `claimedColumns` */
  constructor (tuple: readonly unknown[], shared: SharedFields) {
    const [id, task, queue, priority, args, due, seq, claimedAt] = tuple
    this.id = id as string
    // One string for all, where each row has come with its own.
    this.task = task === shared.task ? shared.task : task as string
    this.queue = queue === shared.queue ? shared.queue : queue as string
    this.priority = priority as number
    this.args = args as string
    this.due = Number(due)
    this.lastAttemptedAt = Number(claimedAt)
    this.#tie = Number(seq)
    this.#shared = shared
  }

  get backend (): string { return this.#shared.backend }
  get status (): TaskResultStatus { return 'RUNNING' }
  get options (): null { return null }
  get runAfter (): null { return null }
  get enqueuedAt (): number { return this.due }
  get startedAt (): number { return this.lastAttemptedAt }
  get finishedAt (): null { return null }
  get attempts (): number { return 1 }
  get priorAttempts (): number { return 0 }
  get deaths (): number { return 0 }
  get workerIds (): readonly string[] { return this.#shared.workerIds }
  get errors (): readonly StoredError[] { return errorsOf(null) }
  get returnValue (): null { return null }
  get progress (): null { return null }
  get claim (): number { return this.#shared.claim }
  get cursor (): Cursor { return { due: this.due, tie: this.#tie } }
}
