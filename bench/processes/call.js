import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

// A process of the bench answers calls over its channel: the caller starts it, asks it, and ends it.

const START_LIMIT_MS = 60_000
const END_LIMIT_MS = 15_000 // then it is killed: a bench leaves nothing behind

/**
 * Start a process that answers calls.
 * @param {string} script - path from the folder of the bench, such as `processes/worker.js`
 * @param {unknown} [spec] - what it is started with
 * @param {string[]} [flags] - of Node.js
 */
export async function start (script, spec = {}, flags = []) {
  const child = fork(fileURLToPath(new URL(`../${script}`, import.meta.url)), [JSON.stringify(spec)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'], // what loggers print is written, and read by nobody
    serialization: 'advanced',
    detached: true, // a group of its own: a terminal's Ctrl-C is for the bench, which ends this one in order
    execArgv: [...flags, ...process.env['BENCH_NODE_FLAGS']?.split(' ') ?? []]
  })
  const waiting = new Map()
  const listeners = new Map()
  let next = 0
  child.on('message', (message) => {
    if ('event' in message) return listeners.get(message.event)?.(message.value)
    const call = waiting.get(message.id)
    waiting.delete(message.id)
    if (message.error === undefined) call?.resolve(message.value)
    else call?.reject(new Error(`${script}: ${message.error}`))
  })
  child.once('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`${script} ended (${signal ?? code})`))
    waiting.clear()
  })
  const running = {
    pid: child.pid,
    async call (name, ...args) {
      if (child.exitCode !== null || !child.connected) throw new Error(`${script} has ended`)
      return await new Promise((resolve, reject) => {
        next += 1
        waiting.set(next, { resolve, reject })
        child.send({ id: next, name, args })
      })
    },
    on (event, listener) { listeners.set(event, listener) },
    async end () {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      const timer = setTimeout(() => { child.kill('SIGKILL') }, END_LIMIT_MS)
      if (child.connected) child.disconnect()
      await exited
      clearTimeout(timer)
    }
  }
  try {
    await within(running.call('ready'), START_LIMIT_MS, `${script} did not start`)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  return running
}

/** Reject where the promise takes longer than so many milliseconds. */
export async function within (promise, milliseconds, message) {
  let timer
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => { reject(new Error(`${message} within ${milliseconds} ms`)) }, milliseconds)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
