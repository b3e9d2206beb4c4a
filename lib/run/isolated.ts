import { MessageChannel } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { CheckedIsolation } from '../core/task-options.js'
import { INVALID_RESULT, PROCESS_EXIT } from '../core/errors.js'
import { CONCURRENCY_MAX, ISOLATION_IDLE_MS, ISOLATION_MEMORY_MB } from '../core/limits.js'
import { decode } from '../core/json.js'
import type { AttemptRequest } from './attempt.js'
import type { ContextVerbs } from './context.js'
import { logFields } from './log-fields.js'

/** What a thread is given. */
export interface IsolatedCall {
  readonly module: string
  readonly export: string
  readonly args: readonly unknown[]
  /** Null for a task that takes no context. */
  readonly context: { readonly taskResult: Record<string, unknown>, readonly attempt: number } | null
  readonly maxBytes: number
  readonly maxDepth: number
  readonly port: import('node:worker_threads').MessagePort
}

/** What a thread answers. Errors travel as data: a structured clone would lose their class and code. */
export type IsolatedAnswer =
  | { readonly text: string }
  | { readonly error: IsolatedError }

export interface IsolatedError {
  readonly kind: 'thrown' | 'unstorable' | 'exit'
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly code: string | number | null
}

/** From a thread, while it runs. */
export type IsolatedMessage =
  | { readonly progress: unknown, readonly number: number }
  | { readonly level: string, readonly values: readonly unknown[] }

type Verbs = Pick<ContextVerbs, 'progress' | 'signal'>

/**
 * Runs the exports of modules in worker threads, one call a thread at a time. An aborted call is killed with its thread,
 * whatever it does: the loop of a thread may be blocked for good. Threads that are idle end by themselves.
 */
export class Isolation {
  readonly #pools = new Map<number, Piscina>()

  /** Run one attempt. Rejects with the task's own error, remade. */
  async run (request: AttemptRequest, { module, export: name, memoryLimit }: CheckedIsolation, verbs: Verbs): Promise<unknown> {
    const { task, args, taskResult, attempt, maxResultBytes: maxBytes, maxDepth } = request
    const { port1, port2 } = new MessageChannel()
    port1.on('message', (message: IsolatedMessage) => { this.#heed(request, verbs, port1, message) })
    const call: IsolatedCall = {
      module,
      export: name,
      args,
      context: task.takesContext ? { taskResult: taskResult.toJSON(), attempt } : null,
      maxBytes,
      maxDepth,
      port: port2
    }
    try {
      const answer = await this.#pool(memoryLimit ?? ISOLATION_MEMORY_MB).run(call, { transferList: [port2], signal: verbs.signal }) as IsolatedAnswer
      if ('error' in answer) throw remade(answer.error)
      return decode(answer.text)
    } finally {
      port1.close()
    }
  }

  /** End all threads. */
  async close (): Promise<void> {
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    await Promise.all(pools.map(async (pool) => { await pool.destroy() }))
  }

  #pool (memoryLimit: number): Piscina {
    const known = this.#pools.get(memoryLimit)
    if (known !== undefined) return known
    const pool = new Piscina({
      filename: new URL('./isolated-thread.js', import.meta.url).href,
      minThreads: 0,
      maxThreads: CONCURRENCY_MAX, // the worker's slots are the limit: an attempt that waited for a thread would lose time of its timeout
      idleTimeout: ISOLATION_IDLE_MS,
      concurrentTasksPerWorker: 1,
      resourceLimits: { maxOldGenerationSizeMb: memoryLimit },
      recordTiming: false,
      atomics: 'disabled'
    })
    this.#pools.set(memoryLimit, pool)
    return pool
  }

  #heed (request: AttemptRequest, verbs: Verbs, port: { postMessage (value: unknown): void }, message: IsolatedMessage): void {
    if ('progress' in message) {
      const { number } = message
      verbs.progress(message.progress).then(
        () => { port.postMessage({ number }) },
        (error: unknown) => { port.postMessage({ number, message: (error as Error).message, code: (error as { code?: unknown }).code ?? null }) }
      )
      return
    }
    const { taskResult, attempt } = request
    const log = request.log.child(logFields(taskResult, attempt)) as unknown as Record<string, ((...values: readonly unknown[]) => void) | undefined>
    log[message.level]?.(...message.values)
  }
}

function remade ({ kind, name, message, stack, code }: IsolatedError): Error {
  if (kind === 'unstorable') return new INVALID_RESULT(message)
  if (kind === 'exit') return new PROCESS_EXIT(message)
  const error = new Error(message)
  Object.defineProperties(error, { name: { value: name }, stack: { value: stack } })
  return code === null ? error : Object.assign(error, { code })
}
