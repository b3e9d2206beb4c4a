import type { FastifyInstance } from 'fastify'
import { currentAttempt } from '../lib/run/current.js'

/**
 * Each attempt that calls `close()` of this app, by whatever instance of it, is told so. A `preClose` hook would not do:
 * it runs once, for the first who calls.
 */
export function markClosers (app: FastifyInstance): void {
  const root = rootOf(app)
  const { close } = root
  if (marking.has(close)) return // by the plugin on another instance
  const marked = function (this: FastifyInstance, ...args: unknown[]) {
    currentAttempt()?.closes(root)
    return Reflect.apply(close, this, args)
  } as FastifyInstance['close']
  marking.add(marked)
  root.close = marked
}

const marking = new WeakSet<FastifyInstance['close']>()

/** The outermost instance, which the others have their `close` from. */
function rootOf (app: FastifyInstance): FastifyInstance {
  let root = app
  for (let each = app; each !== null; each = Object.getPrototypeOf(each)) if (Object.hasOwn(each, 'close')) root = each
  return root
}
