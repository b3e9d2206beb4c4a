import { HEIR_BOOTS, HEIR_HURRY_BOOTS, HEIR_HURRY_MS, HEIR_MS } from '../core/limits.js'
import type { Child } from './forked-child.js'
import { TIMER_MAX_MS } from './pause.js'

/** Limits the process that settles what dead ones held: it boots the app, which takes as long as it took the others. */
export class HeirTime {
  #bootMs = 0

  /** A process has booted, in so many milliseconds. */
  booted (milliseconds: number): void {
    this.#bootMs = Math.max(this.#bootMs, milliseconds)
  }

  /** @param hurry - there was a second signal */
  milliseconds (hurry: boolean): number {
    return hurry ? Math.max(HEIR_HURRY_MS, HEIR_HURRY_BOOTS * this.#bootMs) : Math.max(HEIR_MS, HEIR_BOOTS * this.#bootMs)
  }

  /** From now on. Of several limits the first that is over counts. */
  limit (heir: Child, hurry: boolean): void {
    setTimeout(() => { heir.process.kill('SIGKILL') }, Math.min(this.milliseconds(hurry), TIMER_MAX_MS)).unref()
  }
}
