import { isDeepStrictEqual } from 'node:util'
import { durationToMs } from '../core/duration.js'
import { INVALID_OPTION } from '../core/errors.js'
import type { TaskResult } from '../core/result.js'
import type { TaskResultStatus } from '../core/status.js'
import { isTask, type AnyTask, type Duration, type ResultOf, type TaskArgs } from '../core/task.js'

/** Which results are meant: those that fit all that is said. */
export interface EnqueueMatch<T extends AnyTask = AnyTask> {
  /** The task or its name. */
  task?: T | string | undefined
  /**
   * The first arguments, as many as are given. An object fits one that has its properties and perhaps more, a RegExp a
   * string, a function what it answers true for. Or one function of all arguments.
   */
  args?: FirstOf<TaskArgs<T>> | ((...args: TaskArgs<T>) => boolean) | undefined
  queueName?: string | undefined
  priority?: number | undefined
  status?: TaskResultStatus | undefined
  /** All of these. */
  tags?: readonly string[] | undefined
  /** A moment; a duration from the enqueue, give or take a second; null for what was not deferred; or a function. */
  runAfter?: Date | Duration | null | ((runAfter: Date | null) => boolean) | undefined
  /** True for what may run by now, by the test's clock where there is one. */
  due?: boolean | undefined
  /** Whatever else. */
  where?: ((result: ResultOf<T>) => boolean) | undefined
}

type FirstOf<Args extends unknown[]> = { readonly [Index in keyof Args]?: Like<Args[Index]> }

/** A part of a value, or how to recognise it. */
export type Like<T> = (T extends object ? { readonly [Name in keyof T]?: Like<T[Name]> } : T) | RegExp | ((value: T) => boolean)

export interface MatchContext {
  /** Ids of those that have the tags. */
  readonly tagged: ReadonlySet<string> | null
  readonly now: number
}

type Check = (result: TaskResult, expected: any, context: MatchContext) => boolean

const RUN_AFTER_TOLERANCE_MS = 1_000 // where a backend says when it was enqueued by another clock than when it is due

const CHECKS: Readonly<Record<keyof EnqueueMatch, Check>> = {
  task: ({ taskName }, task: AnyTask | string) => taskName === (typeof task === 'string' ? task : task.name),
  args: ({ args }, expected) => typeof expected === 'function' ? expected(...args) === true : expected.length <= args.length && expected.every((like: unknown, index: number) => isLike(args[index], like)),
  queueName: ({ queueName }, expected) => queueName === expected,
  priority: ({ priority }, expected) => priority === expected,
  status: ({ status }, expected) => status === expected,
  tags: ({ id }, _tags, { tagged }) => tagged?.has(id) === true,
  runAfter: ({ runAfter, enqueuedAt }, expected) => {
    if (typeof expected === 'function') return expected(runAfter) === true
    if (expected === null || runAfter === null) return expected === runAfter
    if (expected instanceof Date) return runAfter.getTime() === expected.getTime()
    return enqueuedAt !== null && Math.abs(runAfter.getTime() - enqueuedAt.getTime() - (durationToMs(expected) as number)) <= RUN_AFTER_TOLERANCE_MS
  },
  due: ({ runAfter }, expected, { now }) => expected === (runAfter === null || runAfter.getTime() <= now),
  where: (result, where) => where(result) === true
}

/** @throws FST_TASKS_INVALID_OPTION: a match that says something else than was meant would prove nothing */
export function checkMatch (given: unknown): EnqueueMatch {
  const refuse = (field: string, rule: string): never => { throw new INVALID_OPTION(`enqueued() ${field}`, rule) }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) refuse('match', `must be an object of ${Object.keys(CHECKS).join(', ')}`)
  if (isTask(given)) refuse('match', 'must be an object: { task }')
  const match = Object.fromEntries(Object.entries(given as EnqueueMatch).filter(([, value]) => value !== undefined)) as EnqueueMatch
  const unknown = Object.keys(match).find((field) => !Object.hasOwn(CHECKS, field))
  if (unknown !== undefined) refuse(unknown, `is nothing to match by; there is ${Object.keys(CHECKS).join(', ')}`)
  const { task, args, tags, runAfter, due, where } = match
  if (task !== undefined && typeof task !== 'string' && !isTask(task)) refuse('task', 'must be a task or the name of one')
  if (args !== undefined && !Array.isArray(args) && typeof args !== 'function') refuse('args', 'must be an array of the first arguments, or a function of them')
  if (tags !== undefined && (!Array.isArray(tags) || tags.length === 0 || tags.some((tag) => typeof tag !== 'string'))) refuse('tags', 'must be an array of strings')
  const isMoment = runAfter === undefined || runAfter === null || runAfter instanceof Date || typeof runAfter === 'function' || durationToMs(runAfter) !== null
  if (!isMoment) refuse('runAfter', 'must be a Date, a duration, null or a function')
  if (due !== undefined && typeof due !== 'boolean') refuse('due', 'must be true or false')
  if (where !== undefined && typeof where !== 'function') refuse('where', 'must be a function')
  return match
}

/** The fields by which a result does not fit; empty where it does. Of another task, nothing else is asked: a function of a match knows its own. */
export function mismatches (result: TaskResult, match: EnqueueMatch, context: MatchContext): string[] {
  if (match.task !== undefined && !CHECKS.task(result, match.task, context)) return ['task']
  return Object.entries(match).filter(([field, expected]) => !CHECKS[field as keyof EnqueueMatch](result, expected, context)).map(([field]) => field)
}

// Arguments are JSON: a function or a RegExp in a match can be nothing but a way to recognise one.
function isLike (value: unknown, like: unknown): boolean {
  if (typeof like === 'function') return like(value) === true
  if (like instanceof RegExp) return typeof value === 'string' && value.search(like) !== -1
  if (Array.isArray(like)) return Array.isArray(value) && value.length === like.length && like.every((entry, index) => isLike(value[index], entry))
  if (typeof like !== 'object' || like === null) return isDeepStrictEqual(value, like === undefined ? null : like)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.entries(like).every(([name, entry]) => entry === undefined ? !Object.hasOwn(value, name) : Object.hasOwn(value, name) && isLike((value as Record<string, unknown>)[name], entry))
}
