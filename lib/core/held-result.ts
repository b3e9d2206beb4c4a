import { createTaskResult, type ResultFields, type ResultSource, type TaskResult } from './result.js'
import { RESULT_NOT_FOUND } from './errors.js'

/** A result that was promised before it is stored: what `request.tasks` gives out. */
export interface HeldResult {
  readonly result: TaskResult
  /** It is stored now, or was under its unique key before: later reads follow to the row that stands. */
  follow (stored: TaskResult): void
}

/**
 * Make a result that is not stored yet. `withdraw` is asked by its `cancel()`: true where it was in time to keep it from
 * being stored at all.
 */
export function holdTaskResult (fields: ResultFields, source: ResultSource, withdraw: () => boolean): HeldResult {
  let id = fields.id
  let stored = false
  let isDuplicate = false
  let withdrawn: ResultFields | null = null

  const read = async (verb: 'read' | 'wait', options: object): Promise<ResultFields> => {
    if (withdrawn !== null) return withdrawn
    if (!stored) throw new RESULT_NOT_FOUND(id) // spares a query, and a wait for what its own caller holds up
    const found = verb === 'read' ? await source.read?.(id) : await source.wait?.(id, options)
    return isDuplicate ? { ...found as ResultFields, isDuplicate } : found as ResultFields
  }
  const cancel = async (): Promise<boolean> => {
    if (withdrawn !== null) return false
    if (!stored && withdraw()) {
      withdrawn = Object.freeze({ ...fields, status: 'CANCELLED', finishedAt: new Date() })
      return true
    }
    return await source.cancel?.(id) ?? false
  }
  const result = createTaskResult(fields, {
    alias: source.alias,
    task: (name) => source.task(name),
    ...(source.read !== undefined && { read: async () => await read('read', {}) }),
    ...(source.wait !== undefined && { wait: async (_id: string, options: object) => await read('wait', options) }),
    ...(source.cancel !== undefined && { cancel }),
    ...(source.retry !== undefined && { retry: async () => stored && await (source.retry as NonNullable<ResultSource['retry']>)(id) })
  })
  return {
    result,
    follow: (standing) => {
      stored = true
      isDuplicate = standing.isDuplicate
      id = standing.id
    }
  }
}
