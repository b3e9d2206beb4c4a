import { createTaskResult, type ResultFields, type ResultSource, type TaskResult } from './result.js'
import { RESULT_NOT_FOUND } from './errors.js'
import { checkWait, within, type WaitOptions } from './wait.js'

/** A result that was promised before it is stored: what `request.tasks` gives out. */
export interface HeldResult {
  readonly result: TaskResult
  /** It is stored now, or was under its unique key before: later reads follow to the row that stands. */
  follow (stored: TaskResult): void
  /** It will not be stored: who waits for it is told. */
  drop (): void
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
  let dropped = false
  const waiting = new Set<() => void>()
  const decided = (): void => { for (const go of waiting) go() }

  const read = async (verb: 'read' | 'wait', options: object): Promise<ResultFields> => {
    if (withdrawn !== null) return withdrawn
    if (!stored) throw new RESULT_NOT_FOUND(id) // spares a query
    const found = verb === 'read' ? await source.read?.(id) : await source.wait?.(id, options)
    return isDuplicate ? { ...found as ResultFields, isDuplicate } : found as ResultFields
  }
  // Not stored yet is not unknown: its request may be about to end.
  const wait = async (options: WaitOptions): Promise<ResultFields> => {
    const { timeout, signal } = checkWait(options)
    const started = performance.now()
    if (!stored && !dropped && withdrawn === null) {
      let go = (): void => {}
      const decision = new Promise<void>((resolve) => { waiting.add(go = resolve) })
      await within(id, { timeout, signal }, decision, () => { waiting.delete(go) })
    }
    return await read('wait', { timeout: Math.max(0, timeout - (performance.now() - started)), signal })
  }
  const cancel = async (): Promise<boolean> => {
    if (withdrawn !== null) return false
    if (!stored && withdraw()) {
      withdrawn = Object.freeze({ ...fields, status: 'CANCELLED', finishedAt: new Date() })
      decided()
      return true
    }
    return await source.cancel?.(id) ?? false
  }
  const result = createTaskResult(fields, {
    alias: source.alias,
    task: (name) => source.task(name),
    ...(source.read !== undefined && { read: async () => await read('read', {}) }),
    ...(source.wait !== undefined && { wait: async (_id: string, options: WaitOptions) => await wait(options) }),
    ...(source.cancel !== undefined && { cancel }),
    ...(source.retry !== undefined && { retry: async () => stored && await (source.retry as NonNullable<ResultSource['retry']>)(id) })
  })
  return {
    result,
    follow: (standing) => {
      stored = true
      isDuplicate = standing.isDuplicate
      id = standing.id
      decided()
    },
    drop: () => {
      dropped = true
      decided()
    }
  }
}
