// The app under faults: tasks that say in the ledger when they start, live and end, and a log that is read for what
// the worker noticed.
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'
import { openLedger } from './ledger.js'

const BEAT_MS = 20
const nothing = new Int32Array(new SharedArrayBuffer(4))

export const note = openLedger(process.env.LEDGER, process.env.ROLE)
note('boot', { ppid: process.ppid })

/** Run an attempt under the eyes of the ledger. */
async function attempt (context, key, body) {
  const { taskResult: { id }, attempt, signal } = context
  note('start', { id, key, attempt })
  const beat = setInterval(() => { note('beat', { id, attempt }) }, BEAT_MS)
  let how = 'returned'
  try {
    return await body()
  } catch (error) {
    how = signal.aborted ? String(signal.reason?.code) : 'threw'
    throw error
  } finally {
    clearInterval(beat)
    note('end', { id, attempt, how })
  }
}

const options = { takesContext: true, timeoutGrace: '300ms' }

export const fast = task('fast', options, async (context, key) => await attempt(context, key, async () => key))

export const slow = task('slow', options, async (context, key, milliseconds) => await attempt(context, key, async () => {
  await sleep(milliseconds, undefined, { signal: context.signal })
  return key
}))

export const block = task('block', options, async (context, key, milliseconds) => await attempt(context, key, async () => {
  Atomics.wait(nothing, 0, 0, milliseconds) // the loop stands still, and takes no processor from the others
  return key
}))

export const flaky = task('flaky', { ...options, retry: { limit: 1, delay: 50, jitter: 0 } }, async (context, key) => await attempt(context, key, async () => {
  if (!context.taskResult.errors.some(({ exceptionClass }) => exceptionClass === 'RangeError')) throw new RangeError('the first time')
  return key
}))

export const doomed = task('doomed', options, async (context, key) => await attempt(context, key, async () => { throw new RangeError('every time') }))

/** What the worker says of itself, by the words it says it in. */
const REMARKS = [
  [/a write was refused: the claim is lost/, 'refused'],
  [/tasks of dead workers were taken back/, 'rescued'],
  [/the lease is lost/, 'lease-lost'],
  [/whose answer was lost were handed back/, 'claim-returned'],
  [/the task database answers again/, 'answers-again'],
  [/waiting for running attempts/, 'draining']
]

function listen (line) {
  const { msg, level, time, hostname, pid, reqId, err, ...fields } = JSON.parse(line)
  const remark = REMARKS.find(([words]) => words.test(msg))?.[1]
  if (remark !== undefined) note(remark, { ...fields })
  else if (level >= 50 && msg !== 'task failed') note('trouble', { msg, code: err?.code, reason: err?.message })
}

export async function buildApp () {
  const app = Fastify({ logger: { level: 'info', stream: { write: listen } } })
  await app.register(fastifyTasks, { tasks: [fast, slow, block, flaky, doomed], taskLogLevel: 'debug' })
  app.tasks.addHook('onFinished', async ({ id, status, attempts }) => { note('finished', { id, status, attempts }) })
  app.tasks.addHook('onRetried', async ({ id, attempts }) => { note('retried', { id, attempts }) })
  return app
}
