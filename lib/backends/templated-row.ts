import type { NewRow, RowLimits, UniqueRule } from '../store/store.js'

/** What all rows of one task have in common. */
export type RowTemplate = Omit<NewRow, 'id' | 'args'>

/** A row of a task. It keeps no more than what is its own: a large enqueue has thousands of them. */
export class TemplatedRow implements NewRow {
  readonly #template: RowTemplate
  readonly id: string
  readonly args: string

  constructor (template: RowTemplate, id: string, args: string) {
    this.#template = template
    this.id = id
    this.args = args
  }

  get backend (): string { return this.#template.backend }
  get task (): string { return this.#template.task }
  get queue (): string { return this.#template.queue }
  get priority (): number { return this.#template.priority }
  get runAfter (): number | null { return this.#template.runAfter }
  get delay (): number | null { return this.#template.delay }
  get options (): string | null { return this.#template.options }
  get tags (): readonly string[] { return this.#template.tags }
  get unique (): UniqueRule | null { return this.#template.unique }
  get maxReady (): number | null { return this.#template.maxReady }
  get limits (): RowLimits | null { return this.#template.limits ?? null }
}
