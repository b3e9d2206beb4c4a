import { NoAnswer } from './faults.js'

/** The time of one call, in which everything that it waits for has to end: a connection, answers, and its next try. */
export class Deadline {
  readonly #at: number

  constructor (milliseconds: number) {
    this.#at = performance.now() + milliseconds
  }

  /** Milliseconds. */
  get left (): number {
    return Math.max(0, this.#at - performance.now())
  }

  /**
   * Settles as the work does; or rejects when the time is over, after `giveUp`, which should make the work end as well.
   * @throws NoAnswer
   */
  async limit<T> (work: Promise<T>, giveUp: () => void): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const over = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        giveUp()
        reject(new NoAnswer())
      }, this.left)
    })
    try {
      return await Promise.race([work, over])
    } finally {
      clearTimeout(timer)
    }
  }
}
