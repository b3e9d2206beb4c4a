import type { ClaimedRow, Cursor, Lane, LaneHead } from '../store/store.js'

/** How far into each lane all rows were seen to be taken, so that a claim does not crawl over what is left of them. */
export class Cursors {
  readonly #places = new Map<string, Cursor>()

  /** True where one of these lanes would not be looked at from its start. */
  moved (group: readonly LaneHead[]): boolean {
    return group.some((lane) => this.#places.has(keyOf(lane)))
  }

  /** The lanes as a claim names them. */
  lanes (group: readonly LaneHead[]): Lane[] {
    return group.map((lane) => ({ queue: lane.queue, priority: lane.priority, after: this.#places.get(keyOf(lane)) ?? null }))
  }

  /** A full claim has seen its lanes up to the last row it took of each; a short one will look from the start again. */
  move (group: readonly LaneHead[], rows: readonly ClaimedRow[], full: boolean): void {
    if (!full) for (const lane of group) this.#places.delete(keyOf(lane))
    else for (const row of rows) if (row.limited !== true) this.#places.set(keyOf(row), row.cursor)
  }

  forget (): void {
    this.#places.clear()
  }
}

function keyOf ({ queue, priority }: { queue: string, priority: number }): string {
  return `${priority} ${queue}`
}
