import t, { type Test } from 'tap'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import net from 'node:net'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyTasks, { task, type FastifyTasksOptions } from 'fastify-tasks'
import { CLIENT_GONE_GRACE_MS } from '#lib/core/limits.js'
import { eventually } from '../support/eventually.ts'
import { RecordingBackend } from './recording-backend.ts'

const note = () => task('note', async (_text: string) => {})

interface Built { app: FastifyInstance, backend: RecordingBackend, note: ReturnType<typeof note> }

async function build (test: Test, options: FastifyTasksOptions = {}, before: (app: FastifyInstance) => void = () => {}): Promise<Built> {
  const app = Fastify({ forceCloseConnections: true })
  before(app)
  const own = note()
  await app.register(fastifyTasks, { env: false, tasks: [own], backends: { default: { backend: RecordingBackend } }, ...options })
  test.teardown(async () => { await app.close() })
  return { app, backend: app.tasks.backend() as RecordingBackend, note: own }
}

/** Ask for a path and leave as soon as the handler has begun; resolves when the server has noticed. */
async function askAndLeave (app: FastifyInstance, path: string, begun: Promise<unknown>): Promise<void> {
  const { port } = app.server.address() as net.AddressInfo
  const closed = new Promise((resolve) => { app.server.once('connection', (socket) => { socket.once('close', resolve) }) })
  const socket = net.connect(port, '127.0.0.1', () => { socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`) })
  socket.on('error', () => {})
  await begun
  socket.destroy()
  await closed
}

/** A promise and the function that resolves it. */
function signal (): { promise: Promise<void>, give: () => void } {
  let give = (): void => {}
  const promise = new Promise<void>((resolve) => { give = resolve })
  return { promise, give }
}

for (const flushOn of ['onResponse', 'onSend'] as const) {
  t.test(`flushOn ${flushOn}: where the client is gone, tasks leave once the handler has ended`, async (t) => {
    const { app, backend, note } = await build(t, { flushOn })
    const endings: Record<string, (collect: (text: string) => void, reply: { send: (payload: unknown) => unknown, hijack: () => unknown, raw: { end: () => unknown } }) => unknown> = {
      value: async (collect) => { collect('late'); return {} },
      nothing: async (collect) => { collect('late') },
      sends: async (collect, reply) => { collect('late'); await reply.send({}) },
      hijacks: async (collect, reply) => { reply.hijack(); collect('late') }
    }
    for (const [name, ending] of Object.entries(endings)) {
      const [begun, gone] = [signal(), signal()]
      app.get(`/${name}`, async (request, reply) => {
        request.tasks.enqueue(note, 'early')
        begun.give()
        await gone.promise
        await sleep(1)
        return await ending((text) => { request.tasks.enqueue(note, text) }, reply)
      })
      Object.assign(ending, { begun, gone })
    }
    await app.listen({ port: 0, host: '127.0.0.1' })
    for (const [name, ending] of Object.entries(endings)) {
      const { begun, gone } = ending as unknown as Record<'begun' | 'gone', ReturnType<typeof signal>>
      backend.calls.length = 0
      await askAndLeave(app, `/${name}`, begun.promise)
      t.same(backend.calls, [], `${name}: not before the handler has ended`)
      gone.give()
      await app.tasks.flushed()
      t.same(backend.calls, [[['early'], ['late']]], name)
    }
  })
}

t.test('where the client is gone and the handler throws, tasks are dropped', async (t) => {
  const { app, backend, note } = await build(t)
  const [begun, gone] = [signal(), signal()]
  app.get('/', async (request) => {
    request.tasks.enqueue(note, 'x')
    begun.give()
    await gone.promise
    throw new Error('no')
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await askAndLeave(app, '/', begun.promise)
  gone.give()
  await app.tasks.flushed()
  t.same(backend.calls, [])
})

t.test('a request that touches its tasks only after the client is gone stores them all the same', async (t) => {
  const { app, backend, note } = await build(t)
  const [begun, gone] = [signal(), signal()]
  app.get('/', async (request) => {
    begun.give()
    await gone.promise
    request.tasks.enqueue(note, 'x')
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await askAndLeave(app, '/', begun.promise)
  gone.give()
  await eventually(async () => {
    await app.tasks.flushed()
    assert.deepEqual(backend.calls, [[['x']]])
  })
})

t.test('a handler with a callback that replies to nobody stores its tasks', async (t) => {
  const { app, backend, note } = await build(t)
  const [begun, gone] = [signal(), signal()]
  app.get('/', (request, reply) => {
    request.tasks.enqueue(note, 'x')
    begun.give()
    void gone.promise.then(() => reply.send({}))
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await askAndLeave(app, '/', begun.promise)
  t.same(backend.calls, [])
  gone.give()
  await app.tasks.flushed()
  t.same(backend.calls, [[['x']]])
})

t.test('a hijacked reply whose client leaves stores its tasks when its handler has returned', async (t) => {
  const { app, backend, note } = await build(t)
  const begun = signal()
  app.get('/', (request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200)
    reply.raw.write('x')
    request.tasks.enqueue(note, 'x')
    begun.give()
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await askAndLeave(app, '/', begun.promise)
  await app.tasks.flushed()
  t.same(backend.calls, [[['x']]])
})

t.test('a client that leaves in the middle of a stream lets the tasks leave', async (t) => {
  const { app, backend, note } = await build(t)
  const begun = signal()
  app.get('/', (request, reply) => {
    request.tasks.enqueue(note, 'x')
    const stream = new PassThrough()
    stream.write('x')
    setImmediate(begun.give)
    void reply.send(stream)
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await askAndLeave(app, '/', begun.promise)
  await eventually(() => { assert.deepEqual(backend.calls, [[['x']]]) })
})

t.test('over HTTP/2 a reset stream is a client that is gone', async (t) => {
  const app = Fastify({ http2: true })
  const own = note()
  await app.register(fastifyTasks, { env: false, tasks: [own], backends: { default: { backend: RecordingBackend } } })
  t.teardown(async () => { await app.close() })
  const { calls } = app.tasks.backend() as RecordingBackend
  const begun = { '/returns': signal(), '/throws': signal(), '/touches-late': signal() }
  const paths = Object.keys(begun) as Array<keyof typeof begun>
  for (const path of paths) {
    const gone = signal()
    app.get(path, async (request, reply) => {
      if (path !== '/touches-late') request.tasks.enqueue(own, path)
      reply.raw.once('close', () => { setImmediate(gone.give) })
      begun[path].give()
      await gone.promise
      if (path === '/throws') throw new Error('no')
      request.tasks.enqueue(own, `${path} late`)
      return {}
    })
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  const client = http2.connect(`http://127.0.0.1:${(app.server.address() as net.AddressInfo).port}`)
  for (const path of paths) {
    const stream = client.request({ ':path': path })
    stream.on('error', () => {})
    await begun[path].promise
    stream.close(http2.constants.NGHTTP2_CANCEL)
    await once(stream, 'close')
  }
  await eventually(() => { assert.equal(calls.length, 2) })
  client.close()
  await app.close()
  t.same(calls, [[['/returns'], ['/returns late']], [['/touches-late late']]])
})

t.test('app.close() waits for a handler whose client is gone, and for its flush', async (t) => {
  const { app, backend, note } = await build(t)
  const [begun, gone] = [signal(), signal()]
  app.get('/', async (request) => {
    request.tasks.enqueue(note, 'x')
    begun.give()
    await gone.promise
    return {}
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  await askAndLeave(app, '/', begun.promise)
  backend.failures = [new Error('down')]
  const closing = app.close()
  gone.give()
  await closing
  t.same(backend.calls, [[['x']]])
  t.equal(backend.closed, 1)
})

t.test('over a real connection tasks leave after the response, once', async (t) => {
  const { app, backend, note } = await build(t)
  app.get('/', async (request) => { request.tasks.enqueue(note, 'x'); return {} })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as net.AddressInfo
  for (let index = 0; index < 20; index++) await (await fetch(`http://127.0.0.1:${port}/`)).json()
  await app.tasks.flushed()
  t.equal(backend.calls.length, 20)
})

t.test('where the client is gone and all has left by flush(), no timer is left that would keep the process', async (t) => {
  const { app, backend, note } = await build(t)
  const [begun, gone, over] = [signal(), signal(), signal()]
  app.get('/', async (request) => {
    request.tasks.enqueue(note, 'a')
    begun.give()
    await gone.promise
    await request.tasks.flush()
    setImmediate(over.give)
    return {}
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const original = globalThis.setTimeout
  const graces: NodeJS.Timeout[] = []
  t.teardown(() => { globalThis.setTimeout = original })
  globalThis.setTimeout = Object.assign((callback: () => void, ms?: number) => {
    const timer = original(callback, ms)
    if (ms === CLIENT_GONE_GRACE_MS) graces.push(timer)
    return timer
  }, original)
  await askAndLeave(app, '/', begun.promise)
  gone.give()
  await over.promise
  await app.tasks.flushed()
  t.same(backend.calls, [[['a']]])
  t.equal(graces.filter((timer) => !(timer as unknown as { _destroyed: boolean })._destroyed).length, 0)
})
