import { decode, encodeValue, type JsonLimits } from '../core/json.js'
import { INVALID_ARGUMENT, RESULT_UNREADABLE } from '../core/errors.js'
import type { ResultFields, TaskError } from '../core/result.js'
import type { Row, StoredError } from '../store/store.js'
import type { EnqueueRequest } from './base.js'
import type { Serializer } from './run-options.js'

/**
 * Between values and the text of a row: JSON, or the backend's serializer on top of it. Without a serializer nothing
 * here is a promise.
 */
export class Codec {
  /** For return values and progress; undefined where plain JSON is right. */
  readonly encode: ((value: unknown) => Promise<string>) | undefined
  readonly #serializer: Serializer | undefined

  constructor (serializer: Serializer | undefined, limits: JsonLimits) {
    this.#serializer = serializer
    // The gate first: what it makes of the value is what the serializer is given.
    this.encode = serializer === undefined ? undefined : async (value) => await serialize(serializer, decode(encodeValue(value, limits)), 'The value')
  }

  /** @throws FST_TASKS_INVALID_ARGUMENT where the serializer fails */
  encodeArguments (request: EnqueueRequest): string | Promise<string> {
    return this.#serializer === undefined ? request.argsText : serialize(this.#serializer, request.args, 'args')
  }

  /** @throws FST_TASKS_RESULT_UNREADABLE, also through the promise */
  decodeRow (row: Row): ResultFields | Promise<ResultFields> {
    const { args, progress, returnValue } = row
    if (this.#serializer !== undefined) return this.#deserializeRow(row)
    return fieldsOf(row, {
      args: read(row, 'arguments', args),
      progress: progress === null ? null : read(row, 'progress', progress),
      returnValue: returnValue === null ? null : read(row, 'return value', returnValue)
    })
  }

  /** The fields of a row of which some values may be unreadable; never throws. */
  async decodeReadable (row: Row): Promise<ResultFields> {
    try {
      return await this.decodeRow(row)
    } catch {
      const [args, progress, returnValue] = await Promise.allSettled(this.#values(row))
      const failures = Object.entries({ args, progress, returnValue }).flatMap(([name, settled]) => settled.status === 'rejected' ? [[name, settled.reason as Error]] : [])
      const valueOf = (settled: PromiseSettledResult<unknown>, otherwise: unknown): unknown => settled.status === 'fulfilled' ? settled.value : otherwise
      const fields = fieldsOf(row, { args: valueOf(args, []), progress: valueOf(progress, null), returnValue: valueOf(returnValue, null) })
      return Object.freeze({ ...fields, unreadable: Object.freeze(Object.fromEntries(failures)) })
    }
  }

  async #deserializeRow (row: Row): Promise<ResultFields> {
    const [args, progress, returnValue] = await Promise.all(this.#values(row))
    return fieldsOf(row, { args, progress, returnValue })
  }

  #values (row: Row): [args: Promise<unknown>, progress: Promise<unknown>, returnValue: Promise<unknown>] {
    const value = async (what: string, text: string | null): Promise<unknown> => {
      if (text === null) return null
      if (this.#serializer === undefined) return read(row, what, text)
      let decoded: unknown
      try {
        decoded = await this.#serializer.decode(text)
      } catch (cause) {
        throw unreadable(row, what, cause)
      }
      if (what === 'arguments' && !Array.isArray(decoded)) throw unreadable(row, what, undefined)
      return decoded
    }
    return [value('arguments', row.args), value('progress', row.progress), value('return value', row.returnValue)]
  }
}

interface Values { readonly args: unknown, readonly progress: unknown, readonly returnValue: unknown }

/** The fields of a stored row; the values as they were decoded. */
export function fieldsOf (row: Row, { args, progress, returnValue }: Values): ResultFields {
  return Object.freeze({
    id: row.id,
    taskName: row.task,
    status: row.status,
    args: Object.freeze(args) as readonly unknown[],
    backend: row.backend,
    queueName: row.queue,
    priority: row.priority,
    runAfter: dateOf(row.runAfter),
    enqueuedAt: dateOf(row.enqueuedAt),
    startedAt: dateOf(row.startedAt),
    lastAttemptedAt: dateOf(row.lastAttemptedAt),
    finishedAt: dateOf(row.finishedAt),
    attempts: row.attempts,
    workerIds: row.workerIds,
    errors: row.errors.map(toTaskError),
    progress,
    returnValue,
    isDuplicate: false
  })
}

function read (row: Row, what: string, text: string): unknown {
  try {
    return decode(text)
  } catch (cause) {
    throw unreadable(row, what, cause)
  }
}

function unreadable ({ id }: Row, what: string, cause: unknown): Error {
  return Object.defineProperty(new RESULT_UNREADABLE(id, what), 'cause', { value: cause })
}

/** What the serializer throws may quote the value; its error is the cause, and not the message. */
async function serialize (serializer: Serializer, value: unknown, what: string): Promise<string> {
  let text: unknown
  try {
    text = await serializer.encode(value)
  } catch (cause) {
    throw Object.defineProperty(new INVALID_ARGUMENT(what, "the backend's serializer threw an error."), 'cause', { value: cause })
  }
  // PostgreSQL's text holds neither.
  if (typeof text === 'string' && !text.includes('\0') && text.isWellFormed()) return text
  throw new INVALID_ARGUMENT(what, "the backend's serializer must give a well-formed string without NUL, such as base64.")
}

function dateOf (moment: number | null): Date | null {
  return moment === null ? null : new Date(moment)
}

function toTaskError ({ at, ...error }: StoredError): TaskError {
  return Object.freeze({ ...error, at: new Date(at) })
}
