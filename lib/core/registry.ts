import { bindTask, isSameTask, isTask, type AnyTask, type TaskApp } from './task.js'
import { DUPLICATE_TASK, INVALID_TASK } from './errors.js'

/**
 * The tasks of one app, by name. A Map, and only ever asked for exact names: what is stored never becomes code.
 */
export class Registry {
  readonly #tasks = new Map<string, AnyTask>()
  readonly #unbind: Array<() => void> = []
  readonly #app: TaskApp

  constructor (app: TaskApp) {
    this.#app = app
  }

  /** @throws FST_TASKS_DUPLICATE_TASK, FST_TASKS_INVALID_TASK where it is no task or its backend cannot carry it */
  add (task: AnyTask): void {
    if (!isTask(task)) throw new INVALID_TASK(typeof task, 'it was not made by task().')
    if (this.#tasks.has(task.name)) throw new DUPLICATE_TASK(task.name)
    this.#app.checkTask(task)
    this.#tasks.set(task.name, task)
    this.#unbind.push(bindTask(task, this.#app))
  }

  get (name: string): AnyTask | null {
    return this.#tasks.get(name) ?? null
  }

  /** True where this very definition, or a copy by using(), is registered here. */
  has (task: AnyTask): boolean {
    const known = this.#tasks.get(task.name)
    return known !== undefined && isSameTask(known, task)
  }

  names (): string[] {
    return [...this.#tasks.keys()]
  }

  /** The app is closing: its tasks find it no more. */
  release (): void {
    for (const unbind of this.#unbind.splice(0)) unbind()
  }
}
