import { parentPort, type MessagePort } from 'node:worker_threads'
import { INVALID_RESULT } from '../core/errors.js'
import { briefFailure, describeFailure } from '../core/failure.js'
import { decode, encodeValue } from '../core/json.js'
import { loadExport, Unusable } from './isolated-export.js'
import { Exit, guardThread, withinCall } from './isolated-guard.js'
import type { IsolatedAnswer, IsolatedCall, IsolatedError, LateFailure } from './isolated.js'

// Runs inside a worker thread. Nothing of the app is here: no decorators, no database of its own.

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

guardThread((error) => {
  parentPort?.postMessage({ late: briefFailure(error) } satisfies LateFailure)
})

/** Call the export and answer its value as JSON text, or what it threw. */
export default async function runIsolated (request: IsolatedCall): Promise<IsolatedAnswer> {
  const { port } = request
  const call = {
    ended: false,
    fail (error: unknown): void {
      call.ended = true
      port.postMessage({ failed: asData(error, new Set()) })
      failed = true
    }
  }
  let failed = false
  const answer = await withinCall(call, async () => await answerTo(request))
  if (failed) await new Promise(() => {}) // the call is killed with this thread, and has no answer any more
  call.ended = true
  port.close()
  return answer
}

async function answerTo (call: IsolatedCall): Promise<IsolatedAnswer> {
  const { module, export: name, args, maxBytes, maxDepth } = call
  const reported = new Set<Promise<void>>()
  const missed = new Set<string>()
  try {
    const exported = await loadExport(module, name)
    const given = call.context === null ? args : [watched(contextOf(call, reported), missed), ...args]
    const value: unknown = await exported(...given)
    await Promise.allSettled(reported) // with its port it would be lost
    return { text: encodeValue(value, { maxBytes, maxDepth, path: 'it', error: (path, reason) => new Unstorable(`${path}: ${reason}`) }) }
  } catch (error) {
    return { error: asData(error, missed) }
  }
}

class Unstorable extends Error {}

function asData (error: unknown, missed: ReadonlySet<string>): IsolatedError {
  const { exceptionClass, message, traceback, code } = describeFailure(error, 1, 0)
  const data = (kind: IsolatedError['kind'], text = message): IsolatedError => ({ kind, name: exceptionClass, message: text, stack: traceback, code })
  if (error instanceof Exit) return data('exit', error.status)
  if (error instanceof Unstorable || error instanceof INVALID_RESULT) return data('unstorable')
  if (error instanceof Unusable) return data('unusable')
  if (error instanceof TypeError && missed.size > 0) return data('missing', `${[...missed].join(' and ')} in the thread of an isolated task (${message})`)
  return data('thrown')
}

/**
 * A context has no `app` and no `transaction` here. That they were asked for is remembered: the TypeError which follows
 * from it would not say why.
 */
function watched (context: object, missed: Set<string>): object {
  return new Proxy(context, {
    get (target, property, receiver) {
      if (property === 'app' || property === 'transaction') missed.add(`context.${property}`)
      return Reflect.get(target, property, receiver) as unknown
    }
  })
}

/** A context without an app and without transactions; killed with its thread, so that its signal is never aborted. */
function contextOf ({ context, port, maxBytes, maxDepth }: IsolatedCall, reported: Set<Promise<void>>): object {
  const waiting = new Map<number, { resolve: () => void, reject: (error: Error) => void }>()
  let number = 0
  port.on('message', ({ number: of, message, code }: { number: number, message?: string, code?: string | null }) => {
    const found = waiting.get(of)
    waiting.delete(of)
    if (message === undefined) found?.resolve()
    else found?.reject(Object.assign(new Error(message), { code }))
  })
  return Object.freeze({
    ...context,
    taskResult: Object.freeze(context?.taskResult),
    log: logOf(port, {}),
    signal: new AbortController().signal,
    async progress (value: unknown) {
      const progress = decode(encodeValue(value, { maxBytes, maxDepth, path: 'progress' })) // what is no JSON may be no message either
      number += 1
      const mine = number
      const stored = new Promise<void>((resolve, reject) => {
        waiting.set(mine, { resolve, reject })
        port.postMessage({ progress, number: mine })
      })
      reported.add(stored)
      await stored.finally(() => { reported.delete(stored) })
    }
  })
}

function logOf (port: MessagePort, bindings: object): Record<string, unknown> {
  const send = (level: string) => (...values: unknown[]): void => {
    const [first, ...rest] = values
    const fields = first instanceof Error ? { err: { type: first.name, message: first.message, stack: first.stack } } : first
    const all = typeof fields === 'object' && fields !== null ? [{ ...bindings, ...fields }, ...rest] : [bindings, fields, ...rest]
    try {
      port.postMessage({ level, values: JSON.parse(JSON.stringify(all)) as unknown[] })
    } catch {
      port.postMessage({ level, values: [bindings, 'a log line of an isolated task could not be passed on'] })
    }
  }
  return {
    ...Object.fromEntries(LEVELS.map((level) => [level, send(level)])),
    silent: () => {},
    level: 'trace',
    child: (more: object) => logOf(port, { ...bindings, ...more })
  }
}
