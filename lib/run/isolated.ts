import { MessageChannel } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { AnyTask } from '../core/task.js'
import type { CheckedIsolation } from '../core/task-options.js'
import { INVALID_RESULT, INVALID_TASK, PROCESS_EXIT, UNSUPPORTED } from '../core/errors.js'
import { CONCURRENCY_MAX, ISOLATION_IDLE_MS, ISOLATION_MEMORY_MB } from '../core/limits.js'
import { briefFailure } from '../core/failure.js'
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
  /**
   * `unusable`: there is no such module or export. `missing`: it went wrong over what an isolated context does not have.
   * Both, and `unstorable`, would be so at any further attempt.
   */
  readonly kind: 'thrown' | 'unstorable' | 'exit' | 'unusable' | 'missing'
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly code: string | number | null
}

/** From a thread, while it runs. */
export type IsolatedMessage =
  | { readonly progress: unknown, readonly number: number }
  | { readonly level: string, readonly values: readonly unknown[] }
  | { readonly failed: IsolatedError }

/** From a thread, of a call that has ended: nobody waits for it any more. */
export interface LateFailure { readonly late: { readonly exceptionClass: string, readonly code: string | null } }

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
    const killer = new AbortController()
    let failed: IsolatedError | null = null
    port1.on('message', (message: IsolatedMessage) => {
      if (!('failed' in message)) return this.#heed(request, verbs, port1, message)
      failed = message.failed
      killer.abort() // what it has started would go on beside the next attempt
    })
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
      const answer = await this.#pool(memoryLimit ?? ISOLATION_MEMORY_MB, request).run(call, { transferList: [port2], signal: AbortSignal.any([verbs.signal, killer.signal]) }) as IsolatedAnswer
      if ('error' in answer) throw remade(answer.error, task)
      return decode(answer.text)
    } catch (error) {
      throw failed === null ? exitOf(error) ?? error : remade(failed, task)
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

  #pool (memoryLimit: number, { log }: AttemptRequest): Piscina {
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
    const late = (failure: object): void => { log.warn(failure, 'something of an isolated task went wrong after its attempt had ended') }
    pool.on('message', ({ late: failure }: LateFailure) => { late(failure) })
    pool.on('error', (error: unknown) => { late(briefFailure(error)) })
    this.#pools.set(memoryLimit, pool)
    return pool
  }

  #heed (request: AttemptRequest, verbs: Verbs, port: { postMessage (value: unknown): void }, message: Exclude<IsolatedMessage, { failed: unknown }>): void {
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

function remade ({ kind, name, message, stack, code }: IsolatedError, task: AnyTask): Error {
  switch (kind) {
    case 'unstorable': return new INVALID_RESULT(message)
    case 'exit': return new PROCESS_EXIT(message)
    case 'unusable': return new INVALID_TASK(task.name, message)
    case 'missing': return new UNSUPPORTED(task.backend, message)
  }
  const error = new Error(message)
  Object.defineProperties(error, { name: { value: name }, stack: { value: stack } })
  return code === null ? error : Object.assign(error, { code })
}

/** A thread may have taken hold of process.exit before it was replaced, as `import { exit } from 'node:process'` does. */
function exitOf (error: unknown): Error | null {
  const code = error instanceof Error ? /^worker exited with code: (-?\d+)$/.exec(error.message)?.[1] : undefined
  return code === undefined ? null : new PROCESS_EXIT(code)
}
