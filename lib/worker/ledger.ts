/** One claimed batch, as the worker knows it. */
export interface Claim {
  readonly number: number
  readonly rows: number
  /** Its first rows that the store knows as started. */
  marked: number
  /** Rows whose end the store has not confirmed. */
  left: number
}

/**
 * What a worker knows it holds. What the store says beyond that is a claim whose reply was lost. A batch is forgotten
 * when the store has confirmed its last write, and not before: until then it must not pass for a lost one.
 */
export class Ledger {
  readonly #claims = new Map<number, Claim>()
  /** Without a row left, and not yet written down as ended. */
  readonly #over = new Set<Claim>()
  readonly #asked = new Set<number>()
  readonly #unsure = new Set<number>()
  #last = 0

  /** The number of a claim about to be sent; never used again. */
  ask (): number {
    this.#asked.add(++this.#last)
    return this.#last
  }

  /** The reply came. An empty one leaves nothing to remember. */
  arrived (number: number, rows: number, marked: number): Claim {
    this.#asked.delete(number)
    const claim = { number, rows, marked: Math.min(marked, rows), left: rows }
    if (rows > 0) this.#claims.set(number, claim)
    return claim
  }

  /** It is known that the store has nothing of it. */
  empty (number: number): void {
    this.#asked.delete(number)
  }

  /** The reply did not come: the store may have it, or not. */
  lost (number: number): void {
    this.#asked.delete(number)
    this.#unsure.add(number)
  }

  /** Claims whose replies did not come, until they are settled. */
  get unsure (): number[] {
    return [...this.#unsure]
  }

  /** What the store had of these claims was handed back. */
  returned (numbers: readonly number[]): void {
    for (const number of numbers) this.#unsure.delete(number)
  }

  /** One row of a claim needs no write any more: its end is written otherwise. */
  settle (claim: Claim): void {
    claim.left -= 1
    if (claim.left === 0) this.#over.add(claim)
  }

  /** The claims that are over once these rows, each named by its claim, are written. */
  endedWith (rows: readonly Claim[]): number[] {
    const written = new Map<Claim, number>()
    for (const claim of rows) written.set(claim, (written.get(claim) ?? 0) + 1)
    const ended: number[] = []
    for (const claim of this.#over) if (!written.has(claim)) ended.push(claim.number)
    for (const [claim, count] of written) if (claim.left <= count) ended.push(claim.number)
    return ended
  }

  /** The store has confirmed these rows, and the end of these claims. */
  written (rows: readonly Claim[], ended: readonly number[]): void {
    for (const claim of rows) this.settle(claim)
    for (const number of ended) {
      const claim = this.#claims.get(number)
      if (claim !== undefined) this.#over.delete(claim)
      this.#claims.delete(number)
    }
  }

  /** Of the claims that the store has for this worker, those that nobody here waits for or works on. */
  strangers (stored: readonly number[]): number[] {
    return stored.filter((number) => !this.#claims.has(number) && !this.#asked.has(number))
  }
}
