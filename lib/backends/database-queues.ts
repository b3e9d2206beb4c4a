import type { QueueLimits } from './base.js'
import type { ClaimLimits, RowLimits } from '../store/store.js'
import { durationToMs, DURATION_RULE } from '../core/duration.js'
import { INVALID_CONFIG } from '../core/errors.js'
import type { AnyTask } from '../core/task.js'
import type { CheckedOptions } from '../core/task-options.js'

const FIELDS: readonly string[] = ['concurrencyLimit', 'rateLimit', 'maxReady']

export interface CheckedQueues {
  /** The READY rows that a queue may hold. */
  readonly maxReady: ReadonlyMap<string, number>
  /** What a queue allows across all workers. */
  readonly claim: ReadonlyMap<string, ClaimLimits>
}

/**
 * The limits of the queues that have any.
 * @throws FST_TASKS_INVALID_CONFIG
 */
export function checkQueueLimits (alias: string, queues: readonly string[] | Readonly<Record<string, QueueLimits>>): CheckedQueues {
  const maxReady = new Map<string, number>()
  const claim = new Map<string, ClaimLimits>()
  if (Array.isArray(queues)) return { maxReady, claim }
  for (const [queue, given] of Object.entries(queues as Readonly<Record<string, QueueLimits>>)) {
    const refuse = (field: string, rule: string): never => { throw new INVALID_CONFIG(`backends.${alias}.queues.${queue}${field}`, `it ${rule}.`) }
    if (typeof given !== 'object' || given === null) refuse('', 'must be an object: { concurrencyLimit, rateLimit, maxReady }')
    const unknown = Object.keys(given).find((field) => !FIELDS.includes(field))
    if (unknown !== undefined) refuse(`.${unknown}`, 'is no limit; there are concurrencyLimit, rateLimit and maxReady')
    const count = (field: string, value: unknown): number => Number.isSafeInteger(value) && (value as number) >= 1 ? value as number : refuse(field, 'must be a whole number from 1')
    if (given.maxReady !== undefined) maxReady.set(queue, count('.maxReady', given.maxReady))
    if (given.concurrencyLimit === undefined && given.rateLimit === undefined) continue
    claim.set(queue, Object.freeze({
      concurrency: given.concurrencyLimit === undefined ? null : count('.concurrencyLimit', given.concurrencyLimit),
      rate: given.rateLimit === undefined ? null : checkRate(given.rateLimit, count, refuse)
    }))
  }
  return { maxReady, claim }
}

function checkRate (given: unknown, count: (field: string, value: unknown) => number, refuse: (field: string, rule: string) => never): { max: number, every: number } {
  if (typeof given !== 'object' || given === null) refuse('.rateLimit', 'must be an object: { max, every }')
  const { max, every, ...others } = given as Record<string, unknown>
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) refuse(`.rateLimit.${unknown}`, 'is no field of a rate limit; there are max and every')
  const ms = durationToMs(every)
  if (ms === null || ms === 0) refuse('.rateLimit.every', `${DURATION_RULE}, and not 0`)
  return Object.freeze({ max: count('.rateLimit.max', max), every: ms as number })
}

/** The limits that a row of this task has; null for none, which is the usual. */
export function limitsOf (task: AnyTask, { queueName, concurrencyKey, concurrencyLimit, rateLimit }: CheckedOptions, queues: ReadonlyMap<string, ClaimLimits>): RowLimits | null {
  if (concurrencyKey === null && rateLimit === null && !queues.has(queueName)) return null
  return Object.freeze({
    key: concurrencyKey,
    concurrency: concurrencyLimit ?? 1,
    rate: rateLimit === null ? null : { name: rateLimit.key === undefined ? `task ${task.name}` : `key ${rateLimit.key}`, max: rateLimit.max, every: rateLimit.every }
  })
}
