import t from 'tap'
import diagnostics from 'node:diagnostics_channel'
import Fastify from 'fastify'
import { Events } from '#lib/run/events.js'
import { currentAttempt } from '#lib/run/current.js'
import { attemptOf, createLog, resultOf } from './attempts.ts'

const NAMES = ['onEnqueued', 'onStarted', 'onRetried', 'onFinished'] as const
const error = { exceptionClass: 'Error', message: 'secret', code: 'E_X', traceback: 'secret', attempt: 1, at: new Date(0) }

function create (options: object = {}, levels?: string[]) {
  const { log, lines } = createLog(levels)
  return { events: new Events({ log, ...options }), lines }
}

t.test('hooks are told of their event alone, in the order in which they were added', async (t) => {
  const { events } = create()
  const told: string[] = []
  for (const name of NAMES) {
    events.addHook(name, (result) => { told.push(`${name} 1 ${result.id}`) })
    events.addHook(name, async () => { told.push(`${name} 2`) })
  }
  for (const name of NAMES) events.emit(name, resultOf())
  t.strictSame(told, NAMES.flatMap((name) => [`${name} 1 result-1`, `${name} 2`]))
  await events.idle()
})

t.test('a hook of another name, or that is no function, is refused', async (t) => {
  const { events } = create()
  for (const name of ['onEnded', '__proto__', 'toString', 5]) t.throws(() => { events.addHook(name as any, () => {}) }, { code: 'FST_TASKS_INVALID_OPTION' })
  t.throws(() => { events.addHook('onStarted', 'x' as any) }, { code: 'FST_TASKS_INVALID_OPTION' })
})

t.test('a hook that throws, now or late, is logged without its message and harms no other', async (t) => {
  const { events, lines } = create({}, ['error'])
  let told = 0
  events.addHook('onFinished', () => { throw Object.assign(new TypeError('secret'), { code: 'E_NOW' }) })
  events.addHook('onFinished', async () => { throw Object.assign(new Error('secret'), { code: 'E_LATE' }) })
  events.addHook('onFinished', () => ({ get then () { throw new Error('secret') } }))
  events.addHook('onFinished', () => { told++ })
  events.emit('onFinished', resultOf({ status: 'SUCCESSFUL' }))
  t.equal(told, 1)
  await events.idle()
  t.equal(lines.length, 3)
  t.match(lines[0], { level: 'error', taskId: 'result-1', hook: 'onFinished', exceptionClass: 'TypeError', code: 'E_NOW' })
  t.match(lines[1], { taskId: 'result-1', code: 'E_LATE' })
  t.notMatch(JSON.stringify(lines), /secret/)
})

t.test('a hook that never returns delays nobody, is logged once, and ends the wait for idleness', async (t) => {
  const { events, lines } = create({ hookTimeout: 1_000 }, ['warn'])
  events.addHook('onStarted', async () => { await new Promise(() => {}) })
  const started = performance.now()
  events.emit('onStarted', resultOf())
  t.ok(performance.now() - started < 500)
  await events.idle()
  t.equal(lines.length, 1)
  t.match(lines[0], { level: 'warn', taskId: 'result-1', hook: 'onStarted' })
  await events.idle()
})

t.test('who waits for hooks waits no longer than it wants to, and says so', async (t) => {
  const { events, lines } = create({ hookTimeout: 60_000 }, ['warn'])
  events.addHook('onStarted', async () => { await new Promise(() => {}) })
  events.emit('onStarted', resultOf())
  const started = performance.now()
  await events.idle(30)
  t.ok(performance.now() - started < 5_000)
  t.match(lines, [{ level: 'warn', hooks: 1 }])
})

t.test('each event is published on its channel', async (t) => {
  const { events } = create()
  const names = ['enqueued', 'started', 'retried', 'finished']
  const published: unknown[] = []
  const listeners = names.map((name) => {
    const listen = (message: unknown): void => { published.push([name, message]) }
    diagnostics.subscribe(`fastify-tasks:${name}`, listen)
    return () => { diagnostics.unsubscribe(`fastify-tasks:${name}`, listen) }
  })
  const result = resultOf()
  for (const name of NAMES) events.emit(name, result)
  for (const stop of listeners) stop()
  t.strictSame(published.map(([name]: any) => name), names)
  t.ok(published.every(([, message]: any) => message.result === result))
})

t.test('each event is logged once, at its level, with id, name, queue, attempt and duration', async (t) => {
  const { events, lines } = create()
  events.emit('onEnqueued', resultOf({ status: 'READY', attempts: 0 }))
  events.emit('onStarted', resultOf())
  events.emit('onRetried', resultOf({ status: 'READY', errors: [error] }), { durationMs: 3, delay: 1000 })
  events.emit('onFinished', resultOf({ status: 'SUCCESSFUL' }), { durationMs: 3.25, attempt: 2 })
  events.emit('onFinished', resultOf({ status: 'FAILED', errors: [error] }), { durationMs: 3 })
  events.emit('onFinished', resultOf({ status: 'CANCELLED' }))
  t.strictSame(lines.map(({ level }) => level), ['debug', 'debug', 'warn', 'info', 'error', 'info'])
  t.strictSame(lines[2], { level: 'warn', taskId: 'result-1', task: 'test.task', queue: 'default', attempt: 1, durationMs: 3, delayMs: 1000, exceptionClass: 'Error', code: 'E_X', msg: 'task failed and will be retried' })
  t.match(lines[3], { attempt: 2, durationMs: 3.25, msg: 'task successful' })
})

t.test('arguments, return values and messages never reach the log', async (t) => {
  const { events, lines } = create()
  const fields = { args: ['secret'], returnValue: 'secret', progress: 'secret', errors: [error] }
  for (const name of NAMES) for (const status of ['READY', 'RUNNING', 'SUCCESSFUL', 'FAILED', 'CANCELLED'] as const) events.emit(name, resultOf({ ...fields, status }))
  t.equal(lines.length, 20)
  t.notMatch(JSON.stringify(lines), /secret/)
})

t.test('taskLogLevel moves the line of a success, and of nothing else', async (t) => {
  const levels = (taskLogLevel: string): string[] => {
    const { events, lines } = create({ taskLogLevel })
    for (const status of ['SUCCESSFUL', 'FAILED'] as const) events.emit('onFinished', resultOf({ status }))
    return lines.map(({ level }) => level)
  }
  t.strictSame(levels('debug'), ['debug', 'error'])
  t.strictSame(levels('silent'), ['error'])
  for (const wrong of ['loud', 'child', '', 5]) t.throws(() => create({ taskLogLevel: wrong }), { code: 'FST_TASKS_INVALID_OPTION' })
})

t.test('nobody who listens: nothing is wanted', async (t) => {
  const silent = new Events({ log: Fastify().log })
  for (const name of NAMES) t.equal(silent.wants(name), false)
  const { events } = create({}, ['error'])
  t.equal(events.wants('onFinished'), false)
  t.equal(events.wants('onFinished', 'FAILED'), true)
  events.addHook('onStarted', () => {})
  t.equal(events.wants('onStarted'), true)
})

t.test("emit never throws, whatever the app's logger does", async (t) => {
  const log: any = { info () { throw new Error('log') }, error () { throw new Error('log') } }
  t.doesNotThrow(() => { new Events({ log }).emit('onFinished', resultOf({ status: 'SUCCESSFUL' })) })
})

t.test('a hook does not belong to the attempt that set it off', async (t) => {
  const { events } = create()
  let seen: unknown = 'nothing'
  events.addHook('onEnqueued', () => { seen = currentAttempt() })
  await attemptOf(() => { events.emit('onEnqueued', resultOf()) }).outcome
  t.equal(seen, undefined)
})
