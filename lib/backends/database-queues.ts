import type { QueueLimits } from './base.js'
import { INVALID_CONFIG } from '../core/errors.js'

const FIELDS: readonly string[] = ['maxReady', 'concurrencyLimit', 'rateLimit']

/**
 * The READY rows that each limited queue may hold.
 * @throws FST_TASKS_INVALID_CONFIG
 */
export function checkQueueLimits (alias: string, queues: readonly string[] | Readonly<Record<string, QueueLimits>>): ReadonlyMap<string, number> {
  const limits = new Map<string, number>()
  if (Array.isArray(queues)) return limits
  for (const [queue, given] of Object.entries(queues as Readonly<Record<string, QueueLimits>>)) {
    const refuse = (field: string, rule: string): never => { throw new INVALID_CONFIG(`backends.${alias}.queues.${queue}${field}`, `it ${rule}.`) }
    if (typeof given !== 'object' || given === null) refuse('', 'must be an object: { maxReady }')
    const { maxReady, concurrencyLimit, rateLimit } = given
    const unknown = Object.keys(given).find((field) => !FIELDS.includes(field))
    if (unknown !== undefined) refuse(`.${unknown}`, 'is no limit; there is maxReady')
    if (concurrencyLimit !== undefined) refuse('.concurrencyLimit', 'is not supported by this backend yet')
    if (rateLimit !== undefined) refuse('.rateLimit', 'is not supported by this backend yet')
    if (maxReady === undefined) continue
    if (!Number.isSafeInteger(maxReady) || maxReady < 1) refuse('.maxReady', 'must be a whole number from 1')
    limits.set(queue, maxReady)
  }
  return limits
}
