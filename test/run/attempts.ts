import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { task } from '#lib/core/task.js'
import { createTaskResult, type ResultFields } from '#lib/core/result.js'
import { runAttempt } from '#lib/run/executor.js'
import type { AttemptRequest, RunningAttempt } from '#lib/run/attempt.js'

/** A logger that remembers its lines. */
export function createLog (enabled: readonly string[] = ['debug', 'info', 'warn', 'error']): { log: FastifyBaseLogger, lines: any[] } {
  const lines: any[] = []
  const at = (level: string, bindings: object) => (fields: object, msg: string) => { lines.push({ level, ...bindings, ...fields, msg }) }
  const build = (bindings: object): any => ({
    ...Object.fromEntries(['trace', 'debug', 'info', 'warn', 'error', 'fatal'].map((level) => [level, at(level, bindings)])),
    level: 'debug',
    isLevelEnabled: (level: string) => enabled.includes(level),
    child: (more: object) => build({ ...bindings, ...more })
  })
  return { log: build({}), lines }
}

export function resultFields (fields: Partial<ResultFields> = {}): ResultFields {
  return {
    id: 'result-1',
    taskName: 'test.task',
    status: 'RUNNING',
    args: [],
    backend: 'default',
    queueName: 'default',
    priority: 0,
    runAfter: null,
    enqueuedAt: new Date(0),
    startedAt: new Date(0),
    lastAttemptedAt: new Date(0),
    finishedAt: null,
    attempts: 1,
    workerIds: ['w'],
    errors: [],
    progress: null,
    returnValue: null,
    isDuplicate: false,
    ...fields
  }
}

export function resultOf (fields: Partial<ResultFields> = {}) {
  return createTaskResult(resultFields(fields), { alias: 'default', task: () => null })
}

/** Run a function as an attempt, without an app. */
export function attemptOf (func: (...args: any[]) => unknown, request: Partial<AttemptRequest> & { takesContext?: boolean } = {}): RunningAttempt {
  const { takesContext = false, ...rest } = request
  return runAttempt({
    app: {} as FastifyInstance,
    task: takesContext ? task('test.task', { takesContext: true }, func) : task('test.task', func),
    args: [],
    taskResult: resultOf(),
    attempt: 1,
    log: createLog().log,
    timeout: null,
    timeoutGrace: 5_000,
    maxResultBytes: 1_000,
    maxDepth: 10,
    now: () => Date.now(),
    ...rest
  })
}

/** Run a function that takes a context as an attempt. */
export function contextAttempt (func: (context: any, ...args: any[]) => unknown, request: Partial<AttemptRequest> = {}): RunningAttempt {
  return attemptOf(func, { ...request, takesContext: true })
}
