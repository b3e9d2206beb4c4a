import type { TaskContext } from '../core/context.js'
import type { AttemptRequest } from './attempt.js'
import { logFields } from './log-fields.js'

/** The part of a context that only the attempt itself can give. */
export interface ContextVerbs extends Pick<TaskContext, 'progress' | 'transaction'> {
  readonly signal: AbortSignal
}

/**
 * The context of one attempt. The logger and the signal are made when they are first asked for: most tasks use one of
 * them at most, and a child logger costs more than a short task.
 */
export function createContext (request: AttemptRequest, verbs: ContextVerbs): TaskContext {
  let log: TaskContext['log'] | undefined
  return Object.freeze({
    app: request.app,
    taskResult: request.taskResult,
    attempt: request.attempt,
    get log () { return (log ??= request.log.child(logFields(request.taskResult, request.attempt))) },
    get signal () { return verbs.signal },
    progress: async (value: unknown) => { await verbs.progress(value) },
    transaction: async <T>(fn: Parameters<TaskContext['transaction']>[0]) => await verbs.transaction(fn) as T
  }) as TaskContext
}
