import type { FastifyBaseLogger } from 'fastify'
import { PROCESS_EXIT } from '../core/errors.js'
import { briefFailure } from '../core/failure.js'
import { currentAttempt } from '../run/current.js'

/**
 * Keep a worker process alive whatever its tasks do to it: `process.exit` inside a task is a failed attempt, and so is
 * an exception or a rejection that nobody caught, where it can be told whose it was. For worker processes only: a
 * server has rules of its own. Returns a function that takes the guard away.
 */
export function guardProcess (log: FastifyBaseLogger): () => void {
  const exit = process.exit
  process.exit = function (code?: number | string | null): never {
    const attempt = currentAttempt()
    if (attempt === undefined) return exit.call(process, code) as never
    const error = new PROCESS_EXIT(code === undefined || code === null ? '' : String(code))
    attempt.fail(error)
    throw error
  }
  const onThrown = (error: unknown, what: string): void => {
    const attempt = currentAttempt()
    if (attempt !== undefined && !attempt.ended) return attempt.fail(error)
    const fields = { ...briefFailure(error), ...(attempt !== undefined && { id: attempt.id, task: attempt.taskName }) }
    const text = attempt === undefined ? `${what} outside of any task` : `${what} of a task after its attempt had ended`
    if (attempt === undefined) log.error({ err: error }, text) // the app's own: its message may be said
    else log.error(fields, text)
  }
  const onException = (error: unknown): void => { onThrown(error, 'an exception') }
  const onRejection = (error: unknown): void => { onThrown(error, 'an unhandled rejection') }
  process.on('uncaughtException', onException)
  process.on('unhandledRejection', onRejection)
  return () => {
    process.exit = exit
    process.off('uncaughtException', onException)
    process.off('unhandledRejection', onRejection)
  }
}
