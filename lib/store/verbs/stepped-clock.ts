import type { Session } from '../session.js'

const STEP_MS = 100 // more than a date is slewed by between two looks

/**
 * A host's date may be set back, and where it is the database's clock, what was enqueued before then has its due moment
 * ahead. Rows that nobody deferred are due all the same: when the date is seen to have been set back, and once at the
 * start, since that may have happened while no worker ran.
 */
export class SteppedClock {
  readonly #session: Session
  /** From the host's monotonic clock to its date, at the last look. */
  #offset = Infinity

  constructor (session: Session) {
    this.#session = session
  }

  /** Answers how many rows were not due any more, and are now. */
  async settle (backend: string): Promise<number> {
    const offset = Date.now() - Number(process.hrtime.bigint()) / 1e6
    const back = offset < this.#offset - STEP_MS
    const settled = back && await this.#isNeeded(backend) ? await this.#makeDue(backend) : 0
    this.#offset = offset // not before it is done: a call that failed is made again
    return settled
  }

  async #isNeeded (backend: string): Promise<boolean> {
    const { sql, bindings } = this.#ahead(backend)
    const [found] = await this.#session.read('look at the clock', `SELECT EXISTS (${sql}) AS found`, bindings)
    return found?.['found'] === 1
  }

  async #makeDue (backend: string): Promise<number> {
    const { tables, dialect } = this.#session
    const { sql, bindings } = this.#ahead(backend)
    const { rows } = await this.#session.write('settle the clock', `UPDATE ${tables.results} SET due = ${dialect.now} WHERE seq IN (${sql}) RETURNING seq`, bindings)
    return rows.length
  }

  /** A retry has a moment to wait for in `run_after`, as what was deferred has. One sub-query an index. */
  #ahead (backend: string): { sql: string, bindings: string[] } {
    const { tables, dialect } = this.#session
    const places = ['r.claimable AND NOT r.quarantined', 'r.claimable AND r.quarantined', "r.parked = 'limit'"]
    return {
      sql: places.map((place) => `SELECT r.seq FROM ${tables.results} r WHERE r.backend = ? AND ${place} AND r.run_after IS NULL AND r.due > ${dialect.now}`).join(' UNION ALL '),
      bindings: places.map(() => backend)
    }
  }
}
