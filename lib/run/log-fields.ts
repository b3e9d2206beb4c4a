import type { TaskResult } from '../core/result.js'

/** What every log line about a result carries. Never its arguments, its return value or an error's message. */
export interface LogFields {
  readonly taskId: string
  readonly task: string
  readonly queue: string
  readonly attempt: number
}

export function logFields (result: TaskResult, attempt: number = result.attempts): LogFields {
  return { taskId: result.id, task: result.taskName, queue: result.queueName, attempt }
}
