/** A server: statements wait for a core, then hold it for as long as they compute; commits wait for the disk together. */
export class Database {
  #timeline
  #settings
  #free
  #queue = []
  #commits = []
  #syncing = false

  constructor (timeline, settings) {
    this.#timeline = timeline
    this.#settings = settings
    this.#free = settings.cores
  }

  /** A statement that takes so many microseconds of CPU, besides what every statement takes; `done` when its answer is back. */
  run (microseconds, done) {
    const { rtt, statement } = this.#settings
    this.#timeline.after(rtt / 2, () => {
      this.#queue.push({ microseconds: microseconds + statement, done })
      this.#next()
    })
  }

  #next () {
    while (this.#free > 0 && this.#queue.length > 0) {
      const { microseconds, done } = this.#queue.shift()
      this.#free -= 1
      this.#timeline.after(microseconds, () => {
        this.#free += 1
        this.#commits.push(done)
        this.#sync()
        this.#next()
      })
    }
  }

  #sync () {
    if (this.#syncing || this.#commits.length === 0) return
    this.#syncing = true
    const batch = this.#commits.splice(0)
    const { fsync, rtt } = this.#settings
    this.#timeline.after(fsync, () => {
      this.#syncing = false
      for (const done of batch) this.#timeline.after(rtt / 2, done)
      this.#sync()
    })
  }
}
