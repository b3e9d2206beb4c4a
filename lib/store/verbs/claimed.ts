import type { ClaimedRow, ClaimRequest } from '../store.js'
import type { Dialect } from '../dialects/dialect.js'
import { errorsOf, moment, workerIdsOf } from '../row.js'
import { FirstAttempt, sharedBy } from './first-attempt.js'

/**
 * What a claim returns of each row that it has changed: what it does not know already, and not more than a row needs
 * that runs for the first time. All that such a row has no use for comes in one last column, which is null for it: each
 * column costs the server and the driver for every row.
 */
export function claimedColumns (dialect: Dialect): string[] {
  return ['id', 'task', 'queue', 'priority', 'args', 'due', 'seq', 'last_attempted_at', restOf(dialect)]
}

/** The last of them. */
export function restOf (dialect: Dialect): string {
  return `CASE WHEN attempts = 1 AND started_at = last_attempted_at AND enqueued_at = due AND options IS NULL AND worker_ids IS NULL AND errors IS NULL
    AND progress IS NULL AND deaths = 0 AND run_after IS NULL AND unique_held IS NULL AND limit_group IS NULL THEN NULL ELSE ${dialect.jsonObject([...REST.map((column) => [column, column] as const), ['keyed', 'unique_held IS NOT NULL OR limit_group IS NOT NULL'], ['limited', 'limit_group IS NOT NULL']])} END`
}

const REST = ['attempts', 'prior_attempts', 'deaths', 'started_at', 'enqueued_at', 'run_after', 'options', 'worker_ids', 'errors', 'progress'] as const

type Rest = Readonly<Record<typeof REST[number] | 'keyed' | 'limited', unknown>>

/** Claimed rows, by priority, due and identity: RETURNING promises no order. */
export function claimedRows (tuples: unknown[][], request: Pick<ClaimRequest, 'backend' | 'worker' | 'claim'>): ClaimedRow[] {
  if (tuples.length === 0) return []
  const sorted = inOrder(tuples)
  const shared = sharedBy(sorted[0] as unknown[], request)
  return sorted.map((tuple) => tuple.at(-1) === null ? new FirstAttempt(tuple, shared) : toClaimed(tuple, request))
}

function toClaimed (tuple: unknown[], { backend, worker, claim }: Pick<ClaimRequest, 'backend' | 'worker' | 'claim'>): ClaimedRow {
  const [id, task, queue, priority, args, dueAt, seq, claimedAt, text] = tuple
  const due = Number(dueAt)
  const rest = (typeof text === 'string' ? JSON.parse(text) : text) as Rest // SQLite nests JSON in JSON
  return {
    id: id as string,
    backend,
    task: task as string,
    queue: queue as string,
    priority: priority as number,
    status: 'RUNNING',
    args: args as string,
    options: rest.options as string | null,
    runAfter: moment(rest.run_after),
    due,
    enqueuedAt: Number(rest.enqueued_at),
    startedAt: Number(rest.started_at),
    lastAttemptedAt: Number(claimedAt),
    finishedAt: null,
    attempts: rest.attempts as number,
    priorAttempts: rest.prior_attempts as number,
    deaths: rest.deaths as number,
    workerIds: workerIdsOf(rest.worker_ids as string | null, worker),
    errors: errorsOf(rest.errors as string | null),
    returnValue: null,
    progress: rest.progress as string | null,
    claim,
    ...(Boolean(rest.keyed) && { keyed: true }),
    ...(Boolean(rest.limited) && { limited: true }),
    cursor: { due, tie: Number(seq) }
  }
}

function inOrder (tuples: unknown[][]): unknown[][] {
  return tuples.sort((a, b) => (b[3] as number) - (a[3] as number) || Number(a[5]) - Number(b[5]) || Number(a[6]) - Number(b[6]))
}
