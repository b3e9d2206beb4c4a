import { utimes, watch, type FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Listener, WakeEvent } from '../store.js'
import { Spaced } from './spaced.js'
import { Listeners, type Hint, type Wake } from './wake.js'
import { TOUCH_INTERVAL_MS } from '../../core/limits.js'

/**
 * SQLite says nothing, but its WAL file grows at every commit, in whichever process: that file is watched (inotify and
 * its like). It grows before the commit is there to be seen, so whoever has stored or ended rows touches it afterwards,
 * at most once in 10 ms. A watcher that cannot be had, as on some network and container file systems, leaves polling.
 */
export class SqliteWake implements Wake {
  readonly #listeners = new Listeners()
  readonly #file: string | null
  #watcher: FSWatcher | null = null
  #healthy = true
  #scheduled = false
  /** Null where there is no file, and nobody to tell. */
  readonly #touch: Spaced | null

  constructor (file: string | null) {
    this.#file = file
    this.#touch = file === null ? null : new Spaced(TOUCH_INTERVAL_MS, () => { touch(file) })
  }

  async onReady (listener: (event: WakeEvent) => void): Promise<Listener> {
    const remove = this.#listeners.addReady(listener)
    this.#open()
    return {
      healthy: () => this.#healthy,
      close: async () => { remove(); this.#closeIfIdle() }
    }
  }

  async onEnded (id: string, listener: () => void): Promise<() => Promise<void>> {
    const remove = this.#listeners.addEnded(id, listener)
    this.#open()
    return async () => { remove(); this.#closeIfIdle() }
  }

  hint (): Hint | null { return null }

  stored (): void {
    this.#listeners.ready()
    this.#touch?.ask()
  }

  ended (): void {
    this.#listeners.ended()
    this.#touch?.ask()
  }

  async close (): Promise<void> {
    this.#touch?.close()
    this.#watcher?.close()
    this.#watcher = null
  }

  #open (): void {
    if (this.#watcher !== null || this.#file === null) return
    const name = basename(this.#file)
    try {
      // The directory, because the WAL file itself is deleted and made again.
      this.#watcher = watch(dirname(this.#file), (_event, changed) => {
        if (changed === null || changed === `${name}-wal` || changed === name) this.#changed()
      })
      this.#watcher.on('error', () => { this.#healthy = false; this.#watcher?.close(); this.#watcher = null })
    } catch {
      this.#healthy = false
    }
  }

  // A commit writes several pages, and each is an event: they are one hint.
  #changed (): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#listeners.ready()
      this.#listeners.ended()
    })
  }

  #closeIfIdle (): void {
    if (this.#listeners.hasReady || this.#listeners.hasEnded) return
    this.#watcher?.close()
    this.#watcher = null
  }
}

/** Its WAL, or the file itself where it has none; in vain where this process does not own it: then the commit's own event is left, and polling. */
function touch (file: string): void {
  const now = new Date()
  utimes(`${file}-wal`, now, now, (error) => { if (error !== null) utimes(file, now, now, () => {}) })
}
