import { AsyncLocalStorage } from 'node:async_hooks'

/** A call that a thread runs; the next begins when it has ended. */
export interface GuardedCall {
  ended: boolean
  /** Something that is not in the call's own promise has failed it. Its thread will be killed. */
  fail (error: unknown): void
}

/** What `process.exit()` throws in a thread. */
export class Exit extends Error {
  readonly status: string

  constructor (code: unknown) {
    super('process.exit')
    this.status = String(code ?? '')
  }
}

const calls = new AsyncLocalStorage<GuardedCall>()
let latest: GuardedCall | null = null

/**
 * Keep a thread in one piece whatever its calls leave behind. What nobody caught, and `process.exit`, fail the call that
 * they are of; of one that has ended they are told to `onLate`, and harm the next one in the thread as little as those in
 * others. Node.js would end the thread by process.exit itself, and with it whatever runs there by then.
 */
export function guardThread (onLate: (error: unknown) => void): void {
  const onThrown = (error: unknown): void => {
    const call = calls.getStore() ?? latest
    if (call !== null && !call.ended) return call.fail(error)
    onLate(error)
  }
  process.on('uncaughtException', onThrown)
  process.on('unhandledRejection', onThrown)
  process.exit = (code?: number | string | null): never => {
    const error = new Exit(code)
    const call = calls.getStore() ?? latest
    if (call?.ended === false) call.fail(error)
    throw error
  }
}

/** Run a function, so that all that it starts can be told to be of this call. */
export function withinCall<T> (call: GuardedCall, fn: () => T): T {
  latest = call
  return calls.run(call, fn)
}
