import type { StoredError } from '../store/store.js'
import { ERROR_CLASS_LENGTH_MAX, ERROR_MESSAGE_LENGTH_MAX, ERROR_TRACEBACK_LENGTH_MAX } from './limits.js'

/**
 * The storable form of anything that was thrown: an error of any kind, a string, null, a proxy that throws at every
 * touch. Bounded, free of what PostgreSQL's text cannot hold (NUL and lone surrogates become U+FFFD), and it never
 * throws itself: a failure that cannot be described could not be recorded.
 *
 * @param attempt - 1 is the first
 * @param at - epoch ms
 */
export function describeFailure (thrown: unknown, attempt: number, at: number): StoredError {
  const exceptionClass = cut(classOf(thrown), ERROR_CLASS_LENGTH_MAX)
  return Object.freeze({
    exceptionClass,
    message: cut(messageOf(thrown), ERROR_MESSAGE_LENGTH_MAX),
    code: codeOf(thrown),
    traceback: cut(tracebackOf(thrown), ERROR_TRACEBACK_LENGTH_MAX),
    attempt,
    at
  })
}

/** Class and code: all of an error that a log line may say, because a message may quote the task's arguments. */
export function briefFailure (thrown: unknown): { exceptionClass: string, code: string | null } {
  return { exceptionClass: cut(classOf(thrown), ERROR_CLASS_LENGTH_MAX), code: codeOf(thrown) }
}

const CAUSES_MAX = 10 // links of a chain of causes that a traceback follows
const CUT = '… (cut)'
// Names that say less than the `name` that such an error usually has of its own.
const GENERIC: ReadonlySet<string> = new Set(['', 'Error', 'Object', 'FastifyError', 'DOMException'])

function classOf (thrown: unknown): string {
  if (!isObject(thrown)) return thrown === null ? 'null' : typeof thrown
  const constructor = read(thrown, 'constructor')
  const name = isObject(constructor) ? text(read(constructor, 'name')) : ''
  if (!GENERIC.has(name)) return name
  const own = text(read(thrown, 'name'))
  return own !== '' ? own : name !== '' ? name : 'Object'
}

function messageOf (thrown: unknown): string {
  if (!isObject(thrown)) return typeof thrown === 'string' ? thrown : String(thrown) // String() takes symbols too
  const message = read(thrown, 'message')
  if (typeof message === 'string') return message
  return 'Something that is not an Error was thrown.'
}

function codeOf (thrown: unknown): string | null {
  const code = isObject(thrown) ? read(thrown, 'code') : undefined
  if (typeof code !== 'string' && typeof code !== 'number') return null
  return cut(String(code), ERROR_CLASS_LENGTH_MAX)
}

/** The stack, and below it the stacks of its causes and of an AggregateError's errors. */
function tracebackOf (thrown: unknown): string {
  const parts: string[] = []
  const seen = new Set<unknown>()
  let length = 0
  const add = (value: unknown, label: string): void => {
    if (length > ERROR_TRACEBACK_LENGTH_MAX || seen.size > CAUSES_MAX || (isObject(value) && seen.has(value))) return
    seen.add(value)
    const part = label + stackOf(value)
    length += part.length
    parts.push(part)
    if (!isObject(value)) return
    const cause = read(value, 'cause')
    if (cause !== undefined) add(cause, 'Caused by: ')
    const errors = read(value, 'errors')
    for (let index = 0; isArray(errors) && index < Math.min(Number(read(errors, 'length')), CAUSES_MAX); index++) add(read(errors, index), `Error ${index}: `)
  }
  add(thrown, '')
  return parts.join('\n')
}

function stackOf (thrown: unknown): string {
  const message = messageOf(thrown)
  const head = `${classOf(thrown)}: ${cut(message, ERROR_MESSAGE_LENGTH_MAX)}`
  const stack = isObject(thrown) ? read(thrown, 'stack') : undefined
  if (typeof stack !== 'string' || stack === '') return head
  // A stack begins with its message: a long one would leave no room for the frames.
  const start = message.length > ERROR_MESSAGE_LENGTH_MAX ? stack.indexOf(message) : -1
  return start < 0 ? stack : stack.slice(0, start) + cut(message, ERROR_MESSAGE_LENGTH_MAX) + stack.slice(start + message.length)
}

function cut (value: string, max: number): string {
  const short = value.length > max ? value.slice(0, max - CUT.length) + CUT : value
  return short.toWellFormed().replaceAll('\0', '\uFFFD')
}

function text (value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** A property whose getter may throw. */
function read (value: object, key: string | number): unknown {
  try {
    return (value as Record<string | number, unknown>)[key]
  } catch {
    return undefined
  }
}

function isArray (value: unknown): value is object {
  try {
    return Array.isArray(value)
  } catch {
    return false // a revoked proxy
  }
}

function isObject (value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}
