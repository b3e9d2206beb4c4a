import { isFinishedStatus } from '../core/status.js'
import type { Row } from '../store/store.js'
import { moment } from './print.js'

/** A row under the names that `TaskResult` has in code, moments as ISO 8601, for --json. */
export function recordOf (row: Row): Record<string, unknown> {
  return {
    id: row.id,
    taskName: row.task,
    status: row.status,
    args: decoded(row.args),
    backend: row.backend,
    queueName: row.queue,
    priority: row.priority,
    runAfter: moment(row.runAfter),
    enqueuedAt: moment(row.enqueuedAt),
    startedAt: moment(row.startedAt),
    lastAttemptedAt: moment(row.lastAttemptedAt),
    finishedAt: moment(row.finishedAt),
    attempts: row.attempts,
    workerIds: row.workerIds,
    errors: row.errors.map((error) => ({ ...error, at: moment(error.at) })),
    progress: decoded(row.progress),
    isFinished: isFinishedStatus(row.status),
    ...(row.status === 'SUCCESSFUL' && { returnValue: decoded(row.returnValue) })
  }
}

/** JSON, or the stored text itself where a backend's own serializer wrote it: only the app can read that. */
function decoded (text: string | null): unknown {
  if (text === null) return null
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}
