import type { ListRequest, ListTimes, ResultFilter, ResultSelection } from '../lib/backends/control.js'
import { INVALID_FILTER } from '../lib/core/errors.js'
import { KEY_LENGTH_MAX, LIST_LIMIT, LIST_LIMIT_MAX, QUEUE_NAME_PATTERN, TASK_NAME_PATTERN } from '../lib/core/limits.js'
import { momentToMs, MOMENT_RULE } from '../lib/core/moment.js'
import { TaskResultStatus } from '../lib/core/status.js'
import { isTask, type AnyTask } from '../lib/core/task.js'
import { isKey } from '../lib/core/task-options.js'
import { isObject } from './checks.js'

/** Which results: those that fit all that is said. */
export interface TaskFilter {
  status?: TaskResultStatus | undefined
  queueName?: string | undefined
  /** A task or its name. */
  task?: AnyTask | string | undefined
  tag?: string | undefined
}

/** A page of a list. Moments are Dates, or ISO 8601 strings with a time zone; `After` includes the moment, `Before` does not. */
export interface TaskListFilter extends TaskFilter {
  enqueuedAfter?: Date | string | undefined
  enqueuedBefore?: Date | string | undefined
  /** Results that have ended since then. */
  finishedAfter?: Date | string | undefined
  finishedBefore?: Date | string | undefined
  /** 1 to 1,000. Default: 50. */
  limit?: number | undefined
  /** The `next` of the page before. */
  after?: string | null | undefined
}

const FILTERS: Readonly<Record<string, (value: unknown) => [field: keyof ResultFilter, value: string]>> = {
  status: (value) => typeof value === 'string' && Object.hasOwn(TaskResultStatus, value) ? ['status', value] : refuse(`status must be one of ${Object.keys(TaskResultStatus).join(', ')}.`),
  queueName: (value) => ['queue', queueNameOf(value)],
  task: (value) => {
    const name = isTask(value) ? value.name : value
    return typeof name === 'string' && TASK_NAME_PATTERN.test(name) ? ['task', name] : refuse('task must be a task or the name of one.')
  },
  tag: (value) => isKey(value) ? ['tag', value] : refuse(`tag must be a string of 1 to ${KEY_LENGTH_MAX} characters, without NUL.`)
}

const LIST_FIELDS = ['enqueuedAfter', 'enqueuedBefore', 'finishedAfter', 'finishedBefore', 'limit', 'after']

/**
 * What `cancel()` and `retry()` are told: an id, or a filter that says something. An empty one would be every result of
 * the backend, and is more likely a variable that was not set.
 *
 * @throws FST_TASKS_INVALID_FILTER
 */
export function checkSelection (target: unknown): ResultSelection {
  if (typeof target === 'string') return { id: target }
  const filter = checkFilter(target, 'say an id or a filter: { status, queueName, task, tag }.')
  if (Object.keys(filter).length === 0) refuse('it is empty, which would be every result. Say at least one of status, queueName, task, tag.')
  return filter
}

/** @throws FST_TASKS_INVALID_FILTER */
export function checkList (given: unknown): ListRequest {
  if (given === undefined) return { limit: LIST_LIMIT }
  if (!isObject(given)) refuse('say an object: { status, queueName, task, tag, enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore, limit, after }.')
  const { limit = LIST_LIMIT, after, enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore, ...filter } = given as Record<string, unknown>
  if (!Number.isInteger(limit) || (limit as number) < 1 || (limit as number) > LIST_LIMIT_MAX) refuse(`limit must be a whole number from 1 to ${LIST_LIMIT_MAX}.`)
  if (after !== undefined && after !== null && (typeof after !== 'string' || !/^[\w-]{1,64}$/.test(after))) refuse('after must be the `next` of the page before.')
  const times = checkTimes({ enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore })
  return { ...checkFilter(filter, '', LIST_FIELDS), ...times, limit: limit as number, ...(typeof after === 'string' && { after }) }
}

/** The alias in a verb's last argument. @throws FST_TASKS_INVALID_FILTER */
export function checkAlias (options: unknown): string {
  if (options === undefined) return 'default'
  if (!isObject(options)) refuse('the last argument must be { backend }.')
  const { backend = 'default', ...others } = options as Record<string, unknown>
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) refuse(`${unknown} is not known in the last argument, which is { backend }.`)
  if (typeof backend !== 'string') refuse('backend must be the alias of a backend.')
  return backend as string
}

/** @throws FST_TASKS_INVALID_FILTER */
export function queueNameOf (value: unknown): string {
  return typeof value === 'string' && QUEUE_NAME_PATTERN.test(value) ? value : refuse('the name of a queue must be 1 to 128 characters of letters, digits, _ . : -')
}

function checkTimes (given: Record<keyof ListTimes, unknown>): ListTimes {
  const times: Partial<Record<keyof ListTimes, Date>> = {}
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue
    times[name as keyof ListTimes] = new Date(momentToMs(value) ?? refuse(`${name} ${MOMENT_RULE}.`))
  }
  for (const what of ['enqueued', 'finished'] as const) {
    const [after, before] = [times[`${what}After`], times[`${what}Before`]]
    if (after !== undefined && before !== undefined && after > before) refuse(`${what}After is later than ${what}Before: nothing lies between them.`)
  }
  return times
}

function checkFilter (given: unknown, rule: string, others: readonly string[] = []): ResultFilter {
  if (!isObject(given)) refuse(rule)
  const filter: Partial<Record<keyof ResultFilter, string>> = {}
  for (const [name, value] of Object.entries(given as object)) {
    const check = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined
    if (check === undefined) return refuse(`${name.slice(0, 64)} is no filter; these are: ${[...Object.keys(FILTERS), ...others].join(', ')}.`)
    if (value === undefined) continue
    const [field, checked] = check(value)
    filter[field] = checked
  }
  return filter as ResultFilter
}

function refuse (reason: string): never {
  throw new INVALID_FILTER(reason)
}
