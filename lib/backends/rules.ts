import type { AnyTask } from '../core/task.js'
import { optionsOf } from '../core/task.js'
import type { CheckedRetry } from '../core/task-options.js'
import { INVALID_TASK } from '../core/errors.js'

/** How an attempt is run and what follows a failure: of the row, else of the task, else of the backend. */
export interface Rules {
  readonly retry: CheckedRetry | undefined
  /** Milliseconds; null for none. */
  readonly timeout: number | null
  readonly timeoutGrace: number
}

interface StoredRules { timeout?: number | null | undefined, timeoutGrace?: number | undefined, retry?: StoredRetry }
/** `task`: the function that the task is defined with. Code is never stored. */
type StoredRetry = Omit<CheckedRetry, 'backoff' | 'retryIf'> & { readonly backoff: 'exponential' | 'fixed' | 'task', readonly retryIf?: 'task' }

/**
 * What `using()` changed of the rules, as JSON for the row; null for nothing, which is the usual.
 * @throws FST_TASKS_INVALID_TASK for a function that the definition does not have: the worker could not know it
 */
export function encodeRules (task: AnyTask, definition: AnyTask): string | null {
  if (task === definition) return null
  const [own, defined] = [optionsOf(task), optionsOf(definition)]
  const stored: StoredRules = {}
  if (own.timeout !== defined.timeout) stored.timeout = own.timeout
  if (own.timeoutGrace !== defined.timeoutGrace) stored.timeoutGrace = own.timeoutGrace
  if (own.retry !== defined.retry && own.retry !== undefined) stored.retry = encodeRetry(task.name, own.retry, defined.retry)
  return Object.keys(stored).length === 0 ? null : JSON.stringify(stored)
}

export function decodeRules (text: string | null, task: AnyTask, defaults: Rules): Rules {
  const defined = optionsOf(task)
  const stored = text === null ? {} : JSON.parse(text) as StoredRules
  const timeout = stored.timeout !== undefined ? stored.timeout : defined.timeout
  return {
    retry: stored.retry !== undefined ? decodeRetry(stored.retry, defined.retry) : defined.retry ?? defaults.retry,
    timeout: timeout !== undefined ? timeout : defaults.timeout,
    timeoutGrace: stored.timeoutGrace ?? defined.timeoutGrace ?? defaults.timeoutGrace
  }
}

function encodeRetry (name: string, { backoff, retryIf, ...retry }: CheckedRetry, defined: CheckedRetry | undefined): StoredRetry {
  const refuse = (field: string): never => {
    throw new INVALID_TASK(name, `${field} is a function, which cannot be stored with one enqueue: give it in the task's definition.`)
  }
  if (typeof backoff === 'function' && backoff !== defined?.backoff) refuse('retry.backoff')
  if (retryIf !== undefined && retryIf !== defined?.retryIf) refuse('retry.retryIf')
  return { ...retry, backoff: typeof backoff === 'function' ? 'task' : backoff, ...(retryIf !== undefined && { retryIf: 'task' }) }
}

function decodeRetry ({ backoff, retryIf, ...retry }: StoredRetry, defined: CheckedRetry | undefined): CheckedRetry {
  return {
    ...retry,
    backoff: backoff !== 'task' ? backoff : defined?.backoff ?? 'exponential',
    retryIf: retryIf === 'task' ? defined?.retryIf : undefined
  }
}
