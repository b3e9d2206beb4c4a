import { STORE_UNAVAILABLE } from '../core/errors.js'
import type { Store } from '../store/store.js'

/**
 * How a call fails:
 * - `before`: it never reaches the store;
 * - `after`: it takes effect, and its answer is lost;
 * - `slow`: it takes effect and is answered, late.
 */
export type StoreFault = 'before' | 'after' | 'slow'

/** The verbs of a store that can be made to fail. */
export type StoreVerb = {
  [Verb in keyof Store]: Store[Verb] extends (...args: never[]) => Promise<unknown> ? Verb : never
}[keyof Store]

export interface FaultyStore {
  readonly store: Store
  /**
   * Let the call of this verb with this number (1 is the next) go wrong; every other one is left alone. Counting begins
   * anew.
   */
  arm (verb: StoreVerb, call: number, fault: StoreFault): void
  /** True once the armed call has come, and has gone wrong. */
  readonly struck: boolean
  /** The calls of each verb since the store was armed. */
  readonly calls: ReadonlyMap<StoreVerb, number>
}

/**
 * A store whose calls can be made to go wrong, one at a time: arm the 1st, 2nd, 3rd … call of a verb until a run no
 * longer reaches it, and every way in which that verb can fail has been taken.
 *
 * @param store - the real one
 * @param options.slowMs - how late a slow answer comes, 50 unless said otherwise
 * @example
 * ```ts
 * import { faultyStore, type Store } from 'fastify-tasks/testing'
 *
 * export async function everyClaim (real: Store, run: (store: Store) => Promise<void>) {
 *   const faulty = faultyStore(real)
 *   for (let call = 1; ; call++) {
 *     faulty.arm('claim', call, 'after')
 *     await run(faulty.store)
 *     if (!faulty.struck) return
 *   }
 * }
 * ```
 */
export function faultyStore (store: Store, { slowMs = 50 }: { slowMs?: number } = {}): FaultyStore {
  const calls = new Map<StoreVerb, number>()
  let armed: { verb: StoreVerb, call: number, fault: StoreFault } | null = null
  let struck = false
  const call = async (verb: StoreVerb, real: (...args: unknown[]) => Promise<unknown>, args: unknown[]): Promise<unknown> => {
    const number = (calls.get(verb) ?? 0) + 1
    calls.set(verb, number)
    if (armed?.verb !== verb || armed.call !== number) return await real(...args)
    const { fault } = armed
    struck = true
    if (fault === 'before') throw away()
    const answer = await real(...args)
    if (fault === 'after') throw away()
    await new Promise((resolve) => { setTimeout(resolve, slowMs) })
    return answer
  }
  return {
    store: new Proxy(store, {
      get (target, property) {
        const value: unknown = Reflect.get(target, property, target)
        if (typeof value !== 'function') return value
        if (SYNCHRONOUS.has(property)) return value.bind(target)
        return async (...args: unknown[]) => await call(property as StoreVerb, value.bind(target), args)
      }
    }),
    arm (verb, number, fault) {
      armed = { verb, call: number, fault }
      struck = false
      calls.clear()
    },
    get struck () { return struck },
    calls
  }
}

const SYNCHRONOUS: ReadonlySet<string | symbol> = new Set<keyof Store>(['committed'])

function away (): Error {
  return new STORE_UNAVAILABLE('be reached', 'the test says so')
}
