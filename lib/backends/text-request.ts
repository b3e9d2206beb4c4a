import { decodeFrozen } from '../core/json.js'
import type { AnyTask } from '../core/task.js'
import type { EnqueueRequest } from './base.js'

/**
 * For the database backend alone: a request that keeps its arguments as their text, and makes them when somebody looks. A
 * large enqueue has thousands of them until the database has answered, and what V8 cannot collect meanwhile is what costs
 * most of it.
 */
export class TextRequest implements EnqueueRequest {
  readonly id: string
  readonly task: AnyTask
  readonly argsText: string
  #args: readonly unknown[] | null = null

  constructor ({ id, task, argsText }: Omit<EnqueueRequest, 'args'>) {
    this.id = id
    this.task = task
    this.argsText = argsText
    Object.freeze(this)
  }

  get args (): readonly unknown[] {
    this.#args ??= decodeFrozen(this.argsText) as readonly unknown[]
    return this.#args
  }
}
