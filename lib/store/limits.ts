import { createHash } from 'node:crypto'
import type { RowLimits } from './store.js'

/** Rows that share all of their limits share a group: the queue, then a hash that no queue's name can run into. */
export function groupOf (queue: string, limits: RowLimits): string {
  const text = encodeLimits(limits)
  return `${queue} ${text === '{}' ? '' : createHash('sha256').update(text).digest('base64url').slice(0, 22)}`
}

/** The group of rows that only their queue limits. */
export const QUEUE_GROUP = ' '

export function encodeLimits ({ key, concurrency, rate }: RowLimits): string {
  return JSON.stringify({ ...(key !== null && { key, concurrency }), ...(rate !== null && { rate: [rate.name, rate.max, rate.every] }) })
}

export function decodeLimits (text: string): RowLimits {
  const { key = null, concurrency = 1, rate } = JSON.parse(text) as { key?: string, concurrency?: number, rate?: [string, number, number] }
  return { key, concurrency, rate: rate === undefined ? null : { name: rate[0], max: rate[1], every: rate[2] } }
}
