/**
 * Stores the progress of one attempt: one write at a time, and the newest value in the next. A loop that reports every
 * step costs as many writes as the database does one after the other, and no more.
 */
export class Progress {
  readonly #write: (text: string) => Promise<void>
  #writing: Promise<void> | null = null
  #next: { text: string, readonly stored: Promise<void> } | null = null

  constructor (write: (text: string) => Promise<void>) {
    this.#write = write
  }

  /** Resolves once this value is stored, or one that came after it. */
  async store (text: string): Promise<void> {
    if (this.#writing === null) return await this.#begin(text)
    if (this.#next !== null) this.#next.text = text
    else this.#next = { text, stored: this.#writing.then(async () => await this.#takeNext(), async () => await this.#takeNext()) }
    await this.#next.stored
  }

  /** Settles, and never rejects, when all that was reported is stored, or could not be; null where it is. */
  get pending (): Promise<unknown> | null {
    return this.#next?.stored.catch(() => {}) ?? this.#writing?.catch(() => {}) ?? null
  }

  async #takeNext (): Promise<void> {
    const { text } = this.#next as { text: string }
    this.#next = null
    await this.#begin(text)
  }

  async #begin (text: string): Promise<void> {
    const writing = this.#writing = this.#write(text).finally(() => { if (this.#writing === writing) this.#writing = null })
    await writing
  }
}
