import type { InsertedRow, NewRow } from '../store/store.js'
import { isPermanent } from '../store/faults.js'
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

const SECOND_ROWS_MIN = 4 // and at least as many as are under way, or the batches would only become smaller
const SECOND_BESIDE_MAX = 12 // rows: a statement costs the server about as much as so many more of them
const SECOND_AFTER_MS = 5 // of more rows: a database on the same machine has answered by then

/**
 * Enqueues that meet share a statement: while one INSERT is under way, those that come wait for the next one. An idle
 * database is asked at the end of the current tick, so that nothing is added to a lone enqueue. Where several may write at
 * once, a second statement leaves beside the first when it has as many rows: callers that come in turns, as those of a
 * busy server do, would else wait for two syncs of the log, their own and that of the others. Where the first has many
 * rows, two would only cost more than one of all that wait, unless the database is far away. Fewer than it has wait for
 * its end in any case. Each caller has its own rows back once they are stored, and its own error.
 */
export class Coalescer {
  readonly #insert: Insert
  readonly #most: number
  readonly #secondAfterMs: number
  #waiting: Entry[] = []
  #waitingRows = 0
  #rows = 0
  #gathering = false
  /** When each of the statements under way was sent, oldest first. */
  readonly #sent: number[] = []
  #second: NodeJS.Timeout | null = null

  /**
   * @param most - statements under way at once: 1 where the database has one writer, else 2
   * @param secondAfterMs - for so long a large statement has to be under way before another leaves beside it; default 5
   */
  constructor (insert: Insert, most: 1 | 2, secondAfterMs = SECOND_AFTER_MS) {
    this.#insert = insert
    this.#most = most
    this.#secondAfterMs = secondAfterMs
  }

  async add (rows: readonly NewRow[]): Promise<InsertedRow[]> {
    return await new Promise((resolve, reject) => {
      let bytes = 0
      for (const { args } of rows) bytes += args.length
      this.#waiting.push({ rows, bytes, resolve, reject })
      this.#waitingRows += rows.length
      if (this.#gathering) return
      if (!this.#mayBegin()) { this.#beginLater(); return }
      this.#gathering = true
      queueMicrotask(() => {
        this.#gathering = false
        this.#begin()
      })
    })
  }

  #mayBegin (): boolean {
    if (this.#sent.length === 0) return true
    return this.#mayBeginBeside && (this.#rows <= SECOND_BESIDE_MAX || performance.now() >= this.#secondAt)
  }

  get #secondAt (): number {
    return (this.#sent[0] ?? 0) + this.#secondAfterMs
  }

  get #mayBeginBeside (): boolean {
    return this.#sent.length < this.#most && this.#waitingRows >= Math.max(this.#rows, SECOND_ROWS_MIN)
  }

  #begin (): void {
    while (this.#waiting.length > 0 && this.#mayBegin()) void this.#sendNext()
    this.#beginLater()
  }

  /** Once what is under way has been so for long enough. */
  #beginLater (): void {
    if (this.#second !== null || !this.#mayBeginBeside) return
    this.#second = setTimeout(() => {
      this.#second = null
      this.#begin()
    }, Math.max(1, this.#secondAt - performance.now()))
  }

  async #sendNext (): Promise<void> {
    const entries = this.#next()
    const rows = entries.reduce((sum, { rows }) => sum + rows.length, 0)
    this.#waitingRows -= rows
    this.#rows += rows
    const sentAt = performance.now()
    this.#sent.push(sentAt)
    await this.#send(entries)
    this.#sent.splice(this.#sent.indexOf(sentAt), 1)
    this.#rows -= rows
    if (this.#second !== null) { clearTimeout(this.#second); this.#second = null }
    this.#begin()
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
