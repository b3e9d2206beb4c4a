import type { AttemptRequest } from './attempt.js'
import { INVALID_RESULT } from '../core/errors.js'
import { encodeValue } from '../core/json.js'

type Encoding = Pick<AttemptRequest, 'encode' | 'maxResultBytes' | 'maxDepth'>

/**
 * The stored form of a return value: a string where the gate makes it, a promise where the backend's serializer does.
 * @throws FST_TASKS_INVALID_RESULT, also through the promise
 */
export function encodeReturned (request: Encoding, value: unknown): string | Promise<string> {
  const { encode, maxResultBytes: maxBytes, maxDepth } = request
  if (encode === undefined) return encodeValue(value, { maxBytes, maxDepth, path: 'it', error: refused })
  try {
    const encoded = encode(value === undefined ? null : value)
    return typeof encoded === 'string' ? encoded : Promise.resolve(encoded).then(checkText, (error: unknown) => { throw invalidResult(error) })
  } catch (error) {
    throw invalidResult(error)
  }
}

/** @throws FST_TASKS_INVALID_ARGUMENT */
export async function encodeProgress (request: Encoding, value: unknown): Promise<string> {
  const { encode, maxResultBytes: maxBytes, maxDepth } = request
  if (encode === undefined) return encodeValue(value, { maxBytes, maxDepth, path: 'progress' })
  return checkText(await encode(value === undefined ? null : value))
}

function refused (path: string, reason: string): Error {
  return new INVALID_RESULT(`${path}: ${reason}`)
}

function checkText (text: unknown): string {
  if (typeof text !== 'string') throw new INVALID_RESULT('the serializer gave no string.')
  return text
}

/** Our own refusals say what is wrong; another error's message may quote the value. */
function invalidResult (error: unknown): Error {
  const { code, message } = (error ?? {}) as { code?: unknown, message?: string }
  if (code === 'FST_TASKS_INVALID_RESULT') return error as Error
  const reason = code === 'FST_TASKS_INVALID_ARGUMENT' ? String(message) : 'the serializer threw an error.'
  return Object.defineProperty(new INVALID_RESULT(reason), 'cause', { value: error })
}
