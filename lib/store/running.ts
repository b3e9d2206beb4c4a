import { NoAnswer } from './faults.js'
import type { Done, Sqlite3Statement } from './prepared.js'

/** A statement on its way. */
export interface Flight {
  readonly statement: Sqlite3Statement
  readonly done: Done
  readonly sentAt: number
}

interface Ended { readonly flight: Flight, readonly error: Error | null, readonly rows: unknown }

/**
 * What runs on one connection of node-sqlite3. A statement that met SQLITE_BUSY stays active until it is reset, and as
 * long as it does SQLite commits no other one of the connection: that ends with success, and the reset rolls it back. So
 * it is reset before anybody is told; and what has ended meanwhile is said to have had no answer, which is tried again.
 */
export class Running {
  readonly #flights = new Set<Flight>()
  #ended: Ended[] = []
  #later: Array<() => void> = []
  readonly #busyTimeoutMs: number
  #resetting = false

  /** @param busyTimeoutMs - that of the connection */
  constructor (busyTimeoutMs: number) {
    this.#busyTimeoutMs = busyTimeoutMs
  }

  /** Run a statement, now or once others are reset; `onSent` hears of it as soon as it is on its way. */
  send (statement: Sqlite3Statement, bindings: readonly unknown[], done: Done, onSent: (flight: Flight) => void = () => {}): void {
    if (this.#resetting || this.#ended.some(isBusy)) {
      this.#later.push(() => { this.send(statement, bindings, done, onSent) })
      return
    }
    const flight: Flight = { statement, done, sentAt: performance.now() }
    this.#flights.add(flight)
    onSent(flight)
    statement.all(bindings, (error, rows) => { this.end(flight, error, rows) })
  }

  end (flight: Flight, error: Error | null, rows: unknown): void {
    this.#flights.delete(flight)
    this.#ended.push({ flight, error, rows })
    if (!this.#ended.some(isBusy)) this.#tell()
    else if (this.#flights.size === 0) this.#reset()
  }

  /**
   * A success is certain unless one is left that may have met SQLITE_BUSY before it, and whose answer is still to come: two
   * threads may answer in another order than they ran. It meets that after its busy_timeout; half of it is a margin.
   */
  #tell (): void {
    const now = performance.now()
    const uncertain = [...this.#flights].some(({ sentAt }) => now - sentAt >= this.#busyTimeoutMs / 2)
    const told = this.#ended.filter(({ error }) => !uncertain || error !== null)
    this.#ended = this.#ended.filter((ended) => !told.includes(ended))
    for (const { flight, error, rows } of told) flight.done(error, rows)
  }

  #reset (): void {
    const all = this.#ended
    this.#ended = []
    this.#resetting = true
    const busy = all.filter(isBusy)
    let left = busy.length
    const over = (): void => {
      if (--left > 0) return
      this.#resetting = false
      for (const { flight, error } of all) flight.done(error ?? new NoAnswer(), undefined)
      for (const send of this.#later.splice(0)) send()
    }
    for (const { flight } of busy) flight.statement.reset(over)
  }
}

function isBusy ({ error }: Ended): boolean {
  return (error as { code?: unknown } | null)?.code === 'SQLITE_BUSY'
}
