import type { MessagePort } from 'node:worker_threads'
import { INVALID_RESULT } from '../core/errors.js'
import { describeFailure } from '../core/failure.js'
import { decode, encodeValue } from '../core/json.js'
import type { IsolatedAnswer, IsolatedCall, IsolatedError } from './isolated.js'

// Runs inside a worker thread. Nothing of the app is here: no decorators, no database of its own.

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

/** Call the export and answer its value as JSON text, or what it threw. */
export default async function runIsolated (call: IsolatedCall): Promise<IsolatedAnswer> {
  const { module, export: name, args, port, maxBytes, maxDepth } = call
  const reported = new Set<Promise<void>>()
  const exit = process.exit
  let exited: (code: unknown) => void = () => {}
  const ended = new Promise<never>((_resolve, reject) => { exited = (code) => { reject(new Exit(code)) } })
  ended.catch(() => {})
  process.exit = (code?: number | string | null): never => {
    exited(code ?? '')
    throw new Exit(code ?? '')
  }
  try {
    const exported = (await import(module) as Record<string, unknown>)[name]
    if (typeof exported !== 'function') throw new TypeError(`Module ${module} exports no function '${name}', which the task's \`isolation\` names.`)
    const given = call.context === null ? args : [contextOf(call, reported), ...args]
    const value: unknown = await Promise.race([(async () => await (exported as (...values: readonly unknown[]) => unknown)(...given))(), ended])
    await Promise.allSettled(reported) // with its port it would be lost
    return { text: encodeValue(value, { maxBytes, maxDepth, path: 'it', error: (path, reason) => new Unstorable(`${path}: ${reason}`) }) }
  } catch (error) {
    return { error: asData(error) }
  } finally {
    process.exit = exit
    port.close()
  }
}

class Exit extends Error {
  readonly status: unknown

  constructor (status: unknown) {
    super('process.exit')
    this.status = status
  }
}

class Unstorable extends Error {}

function asData (error: unknown): IsolatedError {
  const { exceptionClass, message, traceback, code } = describeFailure(error, 1, 0)
  if (error instanceof Exit) return { kind: 'exit', name: exceptionClass, message: String(error.status), stack: traceback, code: null }
  const isRefusal = error instanceof Unstorable || error instanceof INVALID_RESULT
  return { kind: isRefusal ? 'unstorable' : 'thrown', name: exceptionClass, message, stack: traceback, code }
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
