import { charsOf } from './chars.js'
import { Running, type Flight } from './running.js'

export type Done = (error: Error | null, rows: unknown) => void

/** A statement of node-sqlite3. */
export interface Sqlite3Statement {
  all (bindings: readonly unknown[], done: Done): void
  bind (bindings: readonly unknown[], done: () => void): void
  reset (done: () => void): void
  finalize (done: () => void): void
}

export interface Sqlite3Database {
  all (sql: string, bindings: readonly unknown[], done: Done): void
  prepare (sql: string, done: (error: Error | null) => void): Sqlite3Statement
  close (done: (error: Error | null) => void): void
}

const STATEMENTS_MAX = 200 // of a connection; we have fewer in common use. What has a part for each lane or key has a few of each size, see verbs/padded.ts
const KEPT_CHARS_MAX = 1_000_000 // of a connection: what was bound to a statement stays in memory until its next time

/**
 * Send a statement that stays prepared on its connection: to compile one, and to make its object, takes about as long as
 * to run a small one, and once more until the event loop has time.
 */
export function sendPrepared (connection: Sqlite3Database, sql: string, bindings: readonly unknown[], done: Done): void {
  const kept = prepared.get(connection)
  if (kept === undefined) connection.all(sql, bindings, done)
  else kept.send(connection, sql, bindings, done)
}

const prepared = new WeakMap<Sqlite3Database, Kept>()

/**
 * Keep statements of this connection prepared until it is closed, which node-sqlite3 refuses while there are any.
 * @param busyTimeoutMs - that of the connection
 */
export function keepPrepared (connection: Sqlite3Database, busyTimeoutMs: number): void {
  const kept = new Kept(busyTimeoutMs)
  prepared.set(connection, kept)
  const close = connection.close.bind(connection)
  connection.close = (done) => {
    prepared.delete(connection)
    kept.finalize(() => { close(done) })
  }
}

/** Statements of one connection, by their text. */
class Kept {
  readonly #ones = new Map<string, One>()
  #chars = 0

  readonly #running: Running

  constructor (busyTimeoutMs: number) {
    this.#running = new Running(busyTimeoutMs)
  }

  send (connection: Sqlite3Database, sql: string, bindings: readonly unknown[], done: Done): void {
    const known = this.#ones.get(sql)
    if (known !== undefined) known.send(bindings, done)
    else if (this.#ones.size < STATEMENTS_MAX) this.#keep(connection, sql).send(bindings, done)
    else {
      const once = new One(connection, sql, this.#running, { onRefused () {}, onBound () {} })
      once.send(bindings, (error, rows) => {
        done(error, rows)
        once.statement.finalize(() => {})
      })
    }
  }

  #keep (connection: Sqlite3Database, sql: string): One {
    const one = new One(connection, sql, this.#running, {
      onRefused: () => {
        this.#ones.delete(sql)
        this.#count(-one.chars)
      },
      onBound: (chars) => { this.#count(chars) }
    })
    this.#ones.set(sql, one)
    return one
  }

  finalize (done: () => void): void {
    const last = [...this.#ones.values()]
    let left = last.length
    if (left === 0) done()
    for (const { statement } of last) statement.finalize(() => { if (--left === 0) done() })
  }

  /** Where it is too much, what is bound to the one that holds most is let go, behind whatever it has to do. */
  #count (chars: number): void {
    this.#chars += chars
    if (this.#chars <= KEPT_CHARS_MAX) return
    const most = [...this.#ones.values()].reduce((most, one) => one.chars > most.chars ? one : most)
    this.#chars -= most.chars
    most.release()
  }
}

interface Told { onRefused (): void, onBound (chars: number): void }

class One {
  readonly statement: Sqlite3Statement
  readonly #running: Running
  readonly #told: Told
  /** What waits until it is compiled; null once it is. Where it cannot be, node-sqlite3 tells none that were to run it. */
  #first: Flight[] | null = []
  chars = 0

  constructor (connection: Sqlite3Database, sql: string, running: Running, told: Told) {
    this.#running = running
    this.#told = told
    this.statement = connection.prepare(sql, (error) => {
      const first = this.#first as Flight[]
      this.#first = null
      if (error === null) return
      told.onRefused()
      for (const flight of first) running.end(flight, error, undefined)
    })
  }

  send (bindings: readonly unknown[], done: Done): void {
    this.#running.send(this.statement, bindings, done, (flight) => { this.#first?.push(flight) })
    const chars = charsOf(bindings)
    const more = chars - this.chars
    this.chars = chars
    this.#told.onBound(more)
  }

  release (): void {
    this.chars = 0
    this.statement.bind([null], () => {})
  }
}
