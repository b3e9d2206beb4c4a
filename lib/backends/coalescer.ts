import type { InsertedRow, NewRow } from '../store/store.js'
import { STORE_UNAVAILABLE } from '../core/errors.js'
import { INSERT_BYTES_MAX, INSERT_ROWS_MAX } from '../core/limits.js'

type Insert = (rows: readonly NewRow[]) => Promise<InsertedRow[]>

/** Rows that belong together: all are stored, or none. */
interface Entry {
  readonly rows: readonly NewRow[]
  readonly bytes: number
  readonly resolve: (inserted: InsertedRow[]) => void
  readonly reject: (error: unknown) => void
}

/**
 * Enqueues that meet share a statement: while one INSERT is under way, those that come wait for the next one. An idle
 * database is asked at the end of the current tick, so that nothing is added to a lone enqueue. Each caller has its own
 * rows back once they are stored, and its own error.
 */
export class Coalescer {
  readonly #insert: Insert
  #waiting: Entry[] = []
  #busy = false

  constructor (insert: Insert) {
    this.#insert = insert
  }

  async add (rows: readonly NewRow[]): Promise<InsertedRow[]> {
    return await new Promise((resolve, reject) => {
      let bytes = 0
      for (const { args } of rows) bytes += args.length
      this.#waiting.push({ rows, bytes, resolve, reject })
      if (this.#busy) return
      this.#busy = true
      queueMicrotask(() => { void this.#drain() })
    })
  }

  async #drain (): Promise<void> {
    while (this.#waiting.length > 0) await this.#send(this.#next())
    this.#busy = false
  }

  /** As many entries as one statement takes; a larger one goes alone. */
  #next (): Entry[] {
    let [rows, bytes, count] = [0, 0, 0]
    for (const entry of this.#waiting) {
      rows += entry.rows.length
      bytes += entry.bytes
      if (count > 0 && (rows > INSERT_ROWS_MAX || bytes > INSERT_BYTES_MAX)) break
      count += 1
    }
    return this.#waiting.splice(0, count)
  }

  async #send (entries: readonly Entry[]): Promise<void> {
    const [first] = entries as [Entry, ...Entry[]]
    try {
      if (entries.length === 1) {
        first.resolve(await this.#insert(first.rows))
        return
      }
      const inserted = await this.#insert(entries.flatMap(({ rows }) => rows))
      let start = 0
      for (const { rows, resolve } of entries) {
        resolve(inserted.slice(start, start + rows.length))
        start += rows.length
      }
    } catch (error) {
      if (entries.length === 1) first.reject(error)
      else await this.#sendEach(entries, error)
    }
  }

  /** What failed for a reason of its rows is sent again entry by entry, so that a bad one fails alone. */
  async #sendEach (entries: readonly Entry[], error: unknown): Promise<void> {
    if (error instanceof STORE_UNAVAILABLE && !isPermanent(error)) {
      for (const { reject } of entries) reject(error)
      return
    }
    for (const entry of entries) await this.#send([entry])
  }
}

function isPermanent (error: Error): boolean {
  return (error as { fault?: unknown }).fault === 'permanent'
}
