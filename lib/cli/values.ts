import { durationToMs, DURATION_RULE } from '../core/duration.js'
import { INVALID_OPTION, RESULT_NOT_FOUND } from '../core/errors.js'
import { QUEUE_NAME_PATTERN } from '../core/limits.js'
import { momentToMs } from '../core/moment.js'
import { TaskResultStatus } from '../core/status.js'
import type { Row, Store } from '../store/store.js'
import type { FlagValues } from './command.js'

// The database backend makes UUIDs and nothing else.
const ID_PATTERN = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The text of a flag, or undefined where it was not given. An empty one is refused: it is a variable that was not set. */
export function textFlag (flags: FlagValues, name: string, pattern?: RegExp, rule = 'must not be empty'): string | undefined {
  const value = flags[name]
  if (typeof value !== 'string') return undefined
  if (value === '' || (pattern !== undefined && !pattern.test(value))) throw new INVALID_OPTION(`--${name}`, rule)
  return value
}

/** Milliseconds. */
export function durationFlag (flags: FlagValues, name: string, otherwise: number): number {
  const value = textFlag(flags, name)
  if (value === undefined) return otherwise
  // From a shell everything is a string: bare digits are milliseconds, as a number is in code.
  return durationToMs(/^\d+$/.test(value) ? Number(value) : value) ?? refuse(name, DURATION_RULE)
}

export function countFlag (flags: FlagValues, name: string, otherwise: number, max: number): number {
  const value = textFlag(flags, name)
  if (value === undefined) return otherwise
  const count = Number(value)
  if (!/^\d+$/.test(value) || count < 1 || count > max) refuse(name, `must be a whole number from 1 to ${max}`)
  return count
}

/** Epoch milliseconds: a moment, or one so long ago by the clock of this host. */
export function momentFlag (flags: FlagValues, name: string): number | undefined {
  const value = textFlag(flags, name)
  if (value === undefined) return undefined
  const ago = durationToMs(value)
  return momentToMs(value) ?? (ago === null ? refuse(name, "must be a moment such as 2026-11-20T08:00:00Z or 2026-11-20, or how long ago, such as '2h'") : Date.now() - ago)
}

/** A comma list of queue names, or undefined for all. */
export function queuesFlag (flags: FlagValues, name: string): string[] | undefined {
  const value = textFlag(flags, name)
  if (value === undefined) return undefined
  const names = value.split(',').map((queue) => queue.trim())
  if (!names.every((queue) => QUEUE_NAME_PATTERN.test(queue))) refuse(name, `must be names of queues with commas between them: each of ${QUEUE_RULE}`)
  return names
}

export function statusFlag (flags: FlagValues, name: string): TaskResultStatus | undefined {
  const value = textFlag(flags, name)?.toUpperCase()
  if (value === undefined) return undefined
  if (!Object.hasOwn(TaskResultStatus, value)) refuse(name, `must be one of ${Object.keys(TaskResultStatus).join(', ')}`)
  return value as TaskResultStatus
}

export function idFlag (flags: FlagValues, name: string): string | undefined {
  return textFlag(flags, name, ID_PATTERN, 'must be the id of a result')
}

/** A queue that was named as an argument. */
export function queueArgument (value: string | undefined): string {
  if (value === undefined || !QUEUE_NAME_PATTERN.test(value)) throw new INVALID_OPTION('QUEUE', `must be ${QUEUE_RULE}`)
  return value
}

const QUEUE_RULE = '1 to 128 characters of letters, digits, _ . : -'

/** An id that was named as an argument. @throws FST_TASKS_RESULT_NOT_FOUND where it cannot be one */
export function idArgument (value: string | undefined): string {
  if (value === undefined || !ID_PATTERN.test(value)) throw new RESULT_NOT_FOUND(String(value).slice(0, 64).replace(/\p{Cc}/gu, '?'))
  return value.toLowerCase()
}

/** @throws FST_TASKS_RESULT_NOT_FOUND */
export async function rowOf (store: Store, id: string, alias: string): Promise<Row> {
  const row = await store.get(id)
  if (row === null || row.backend !== alias) throw new RESULT_NOT_FOUND(id)
  return row
}

function refuse (name: string, rule: string): never {
  throw new INVALID_OPTION(`--${name}`, rule)
}
