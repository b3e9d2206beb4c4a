import t, { type Test } from 'tap'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import { PassThrough, Readable } from 'node:stream'
import fastifyTasks, { errors, task, type FastifyTasksOptions, type TaskResult } from 'fastify-tasks'
import { RecordingBackend } from './recording-backend.ts'

async function build (test: Test, options: FastifyTasksOptions = {}): Promise<{ app: FastifyInstance, backend: RecordingBackend, note: ReturnType<typeof note> }> {
  const app = Fastify({ forceCloseConnections: true })
  const own = note()
  await app.register(fastifyTasks, { env: false, tasks: [own], backends: { default: { backend: RecordingBackend } }, ...options })
  test.teardown(async () => { await app.close() })
  return { app, backend: app.tasks.backend() as RecordingBackend, note: own }
}

const note = () => task('note', async (_text: string) => {})

t.test('what a request collected is stored in one call, after the response', async (t) => {
  const { app, backend, note } = await build(t)
  let release = (): void => {}
  backend.gate = new Promise((resolve) => { release = resolve })
  let result: TaskResult | undefined
  app.get('/', async (request) => {
    result = request.tasks.enqueue(note, 'a')
    request.tasks.enqueue('note', 'b')
    return { id: result.id }
  })
  const response = await app.inject('/')
  t.equal(response.statusCode, 200, 'the reply does not wait for the backend')
  t.same(backend.calls, [])
  t.equal(response.json().id, result?.id)
  t.match(result, { status: 'READY', enqueuedAt: null, isFinished: false, taskName: 'note', args: ['a'], backend: 'default' })
  release()
  await app.tasks.flushed()
  t.same(backend.calls, [[['a'], ['b']]])
  t.equal(backend.ids[0], result?.id, 'the id given out is the id stored')
})

t.test('a request that fails drops what it collected', async (t) => {
  const { app, backend, note } = await build(t)
  const failing = async (request: FastifyRequest): Promise<void> => { request.tasks.enqueue(note, 'x') }
  app.get('/throws', async (request) => { await failing(request); throw new Error('no') })
  app.get('/throws-400', async (request) => { await failing(request); throw Object.assign(new Error('no'), { statusCode: 400 }) })
  app.get('/throws-now', (request) => { request.tasks.enqueue(note, 'x'); throw new Error('no') })
  app.get('/sends-503', async (request, reply) => { await failing(request); return await reply.code(503).send({}) })
  app.get('/sends-error', (request, reply) => { request.tasks.enqueue(note, 'x'); void reply.send(new Error('no')) })
  app.get('/hook-throws', { preSerialization: async () => { throw new Error('no') } }, async (request) => { await failing(request); return {} })
  app.get('/on-send-throws', { onSend: async () => { throw new Error('no') } }, async (request) => { await failing(request); return {} })
  app.get('/in-error-handler', { errorHandler: (_error, request, reply) => { request.tasks.enqueue(note, 'x'); void reply.code(200).send({}) } }, async () => { throw new Error('no') })
  app.get('/body', { preHandler: async (request) => { await failing(request); throw new Error('no') } }, async () => ({}))
  for (const path of ['/throws', '/throws-400', '/throws-now', '/sends-503', '/sends-error', '/hook-throws', '/on-send-throws', '/in-error-handler', '/body']) {
    await app.inject(path)
    await app.tasks.flushed()
    t.same(backend.calls, [], path)
  }
})

t.test('a 4xx that was sent, and not thrown, keeps what was collected', async (t) => {
  const { app, backend, note } = await build(t)
  app.get('/', async (request, reply) => { request.tasks.enqueue(note, 'x'); return await reply.code(404).send({}) })
  await app.inject('/')
  await app.tasks.flushed()
  t.same(backend.calls, [[['x']]])
})

t.test('discardOn changes the rule, and one that throws leaves it as it is', async (t) => {
  const seen: number[] = []
  const { app, backend, note } = await build(t, {
    discardOn: (_request, reply) => {
      seen.push(reply.statusCode)
      if (reply.statusCode === 500) throw new Error('no')
      return reply.statusCode === 404
    }
  })
  app.get('/:code', async (request, reply) => {
    const { code } = request.params as { code: string }
    request.tasks.enqueue(note, code)
    return await reply.code(Number(code)).send({})
  })
  for (const code of ['200', '404', '503', '500']) await app.inject(`/${code}`)
  await app.tasks.flushed()
  t.same(backend.calls, [[['200']], [['503']]])
  t.same(seen, [200, 404, 503, 500])
})

t.test('flushOn onSend stores before the reply leaves, and a refusal is a 503 and no lost task', async (t) => {
  const lost: unknown[] = []
  const { app, backend, note } = await build(t, { flushOn: 'onSend', onFlushError: (error) => { lost.push(error) } })
  let stored = -1
  app.addHook('onResponse', async () => { stored = backend.calls.length })
  app.get('/', async (request) => { request.tasks.enqueue(note, 'a'); return {} })
  app.get('/fails', async (request) => { request.tasks.enqueue(note, 'a'); throw new Error('no') })
  t.equal((await app.inject('/')).statusCode, 200)
  t.equal(stored, 1)
  backend.failures = [new Error('down')]
  const response = await app.inject('/')
  t.equal(response.statusCode, 503)
  t.equal(response.json().code, 'FST_TASKS_FLUSH_FAILED')
  t.notMatch(response.body, /down/)
  t.equal((await app.inject('/fails')).statusCode, 500)
  await app.tasks.flushed()
  t.equal(backend.calls.length, 1, 'nothing more was stored, now or later')
  t.equal(backend.refused, 1, 'and it was not tried again behind the back of the client')
  t.same(lost, [], 'the client was told')
})

t.test('a route has its own flushOn', async (t) => {
  const { app, backend, note } = await build(t)
  app.get('/', { config: { tasks: { flushOn: 'onSend' } } }, async (request) => { request.tasks.enqueue(note, 'a'); return {} })
  backend.failures = [new Error('down')]
  t.equal((await app.inject('/')).statusCode, 503)
})

t.test("somebody else's onSend hook that fails after ours does not undo a flush", async (t) => {
  const { app, backend, note } = await build(t, { flushOn: 'onSend' })
  let fails = true
  app.addHook('onSend', async () => { if (fails) { fails = false; throw new Error('no') } })
  app.get('/', async (request) => { request.tasks.enqueue(note, 'a'); return {} })
  t.equal((await app.inject('/')).statusCode, 500)
  await app.tasks.flushed()
  t.same(backend.calls, [[['a']]])
})

t.test('a failed flush is tried again', async (t) => {
  const { app, backend, note } = await build(t)
  backend.failures = [new Error('down'), new Error('down')]
  app.get('/', async (request) => { request.tasks.enqueue(note, 'a'); return {} })
  await app.inject('/')
  await app.tasks.flushed()
  t.same(backend.calls, [[['a']]])
})

t.test('a flush that fails for good is logged with its ids and reported once', async (t) => {
  const reported: Array<[Error, TaskResult[]]> = []
  const lines: string[] = []
  const app = Fastify({ logger: { level: 'error', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(async () => { await app.close() })
  const own = note()
  await app.register(fastifyTasks, {
    env: false,
    tasks: [own],
    backends: { default: { backend: RecordingBackend } },
    flushRetry: 1_000,
    onFlushError: (error, results) => {
      reported.push([error, results])
      throw new Error('also broken')
    }
  })
  const backend = app.tasks.backend() as RecordingBackend
  backend.failures = Array.from({ length: 50 }, () => new Error('secret of a driver'))
  app.get('/', async (request) => { request.tasks.enqueue(own, 'a'); request.tasks.enqueue(own, 'b'); return {} })
  await app.inject('/')
  await app.tasks.flushed()
  t.ok(backend.refused >= 2, 'tried more than once')
  t.equal(reported.length, 1)
  t.equal(reported[0]?.[0].message, 'secret of a driver')
  t.same(reported[0]?.[1].map(({ args }) => args), [['a'], ['b']])
  const ids = reported[0]?.[1].map(({ id }) => id) as string[]
  t.ok(lines.some((line) => ids.every((id) => line.includes(id))))
  t.notOk(lines.some((line) => line.includes('secret of a driver')))
})

t.test('an enqueue after the flush is flushed at once', async (t) => {
  const { app, backend, note } = await build(t)
  app.addHook('onResponse', async (request) => { request.tasks.enqueue(note, 'late') })
  app.get('/', async (request) => {
    request.tasks.enqueue(note, 'a')
    await request.tasks.flush()
    t.same(backend.calls, [[['a']]])
    request.tasks.enqueue(note, 'b')
    await request.tasks.flush()
    await app.tasks.flushed()
    t.same(backend.calls, [[['a']], [['b']]])
    throw new Error('too late to drop them')
  })
  await app.inject('/')
  await app.tasks.flushed()
  t.same(backend.calls, [[['a']], [['b']], [['late']]])
})

t.test('flush() rejects where it could not store, and what it had is gone with a report', async (t) => {
  const reported: TaskResult[][] = []
  const { app, backend, note } = await build(t, { flushRetry: 0, onFlushError: (_error, results) => { reported.push(results) } })
  backend.failures = [new Error('down')]
  app.get('/', async (request) => {
    request.tasks.enqueue(note, 'a')
    await t.rejects(request.tasks.flush(), { code: 'FST_TASKS_FLUSH_FAILED' })
    return {}
  })
  t.equal((await app.inject('/')).statusCode, 200)
  await app.tasks.flushed()
  t.equal(reported.length, 1)
  t.same(backend.calls, [])
})

t.test('every kind of reply lets it leave once: streams, HEAD, empty, redirects, not found, hijacked', async (t) => {
  const { app, backend, note } = await build(t)
  app.setNotFoundHandler(async (request, reply) => { request.tasks.enqueue(note, 'not found'); return await reply.code(404).send({}) })
  app.get('/stream', async (request, reply) => { request.tasks.enqueue(note, 'stream'); return await reply.send(Readable.from(['a', 'b'])) })
  app.get('/late-stream', (request, reply) => {
    const stream = new PassThrough()
    request.tasks.enqueue(note, 'late stream')
    void reply.send(stream)
    setImmediate(() => { stream.end('x') })
  })
  app.get('/empty', async (request, reply) => { request.tasks.enqueue(note, 'empty'); return await reply.code(204).send() })
  app.get('/redirect', async (request, reply) => { request.tasks.enqueue(note, 'redirect'); return await reply.redirect('/empty') })
  app.get('/call-not-found', (_request, reply) => { reply.callNotFound() })
  app.get('/hijacked', async (request, reply) => {
    reply.hijack()
    request.tasks.enqueue(note, 'hijacked')
    reply.raw.end('x')
  })
  app.get('/callback', (request, reply) => { request.tasks.enqueue(note, 'callback'); setImmediate(() => { void reply.send({}) }) })
  app.addHook('preHandler', async (request, reply) => {
    if (request.url !== '/early') return
    request.tasks.enqueue(note, 'early')
    return await reply.send({})
  })
  app.get('/early', async () => ({}))
  const cases = [['GET', '/stream', 'stream'], ['HEAD', '/stream', 'stream'], ['GET', '/late-stream', 'late stream'], ['GET', '/empty', 'empty'], ['GET', '/redirect', 'redirect'],
    ['GET', '/nowhere', 'not found'], ['GET', '/call-not-found', 'not found'], ['GET', '/hijacked', 'hijacked'], ['GET', '/callback', 'callback'], ['GET', '/early', 'early']] as const
  for (const [method, url, text] of cases) {
    backend.calls.length = 0
    await app.inject({ method, url })
    await app.tasks.flushed()
    t.same(backend.calls, [[[text]]], `${method} ${url}`)
  }
})

t.test('hooks may collect before the plugin has seen the request, and routes may be older than the plugin', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const own = note()
  app.addHook('onRequest', async (request) => { request.tasks.enqueue(own, 'hook') })
  app.get('/', async (request) => { request.tasks.enqueue(own, 'route'); return {} })
  void app.register(fastifyTasks, { env: false, tasks: [own], backends: { default: { backend: RecordingBackend } } })
  await app.inject('/')
  await app.tasks.flushed()
  t.same((app.tasks.backend() as RecordingBackend).calls, [[['hook'], ['route']]])
})

t.test('each backend gets one call', async (t) => {
  const other = task('other', { backend: 'second' }, async (_text: string) => {})
  const { app, backend, note } = await build(t, { backends: { default: { backend: RecordingBackend }, second: { backend: RecordingBackend } } })
  app.tasks.add(other)
  app.get('/', async (request) => {
    request.tasks.enqueue(note, 'a')
    request.tasks.enqueue(other, 'b')
    request.tasks.enqueue(note, 'c')
    return {}
  })
  await app.inject('/')
  await app.tasks.flushed()
  t.same(backend.calls, [[['a'], ['c']]])
  t.same((app.tasks.backend('second') as RecordingBackend).calls, [[['b']]])
})

t.test('immediate tasks run after the response', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const order: string[] = []
  const work = task('work', async () => { order.push('task') })
  await app.register(fastifyTasks, { env: false, tasks: [work] })
  let result: TaskResult<null, []> | undefined
  app.get('/', async (request) => {
    result = request.tasks.enqueue(work)
    order.push('handler')
    return {}
  })
  app.addHook('onSend', async () => { order.push('onSend') })
  await app.inject('/')
  await app.tasks.flushed()
  t.same(order, ['handler', 'onSend', 'task'])
  t.equal(result?.status, 'READY', 'a snapshot')
  await result?.refresh()
  t.equal(result?.status, 'SUCCESSFUL')
})

t.test('bad enqueues throw at once, and nothing is collected', async (t) => {
  const { app, backend, note } = await build(t)
  const stranger = task('stranger', async () => {})
  app.get('/', async (request) => {
    t.throws(() => request.tasks.enqueue(note, new Date() as unknown as string), { code: 'FST_TASKS_INVALID_ARGUMENT', message: /args\[0\]/ })
    t.throws(() => request.tasks.enqueue('nope'), { code: 'FST_TASKS_UNKNOWN_TASK' })
    t.throws(() => request.tasks.enqueue(stranger), { code: 'FST_TASKS_NOT_REGISTERED' })
    t.throws(() => request.tasks.enqueue({} as unknown as typeof note, 'x'), { code: 'FST_TASKS_INVALID_TASK' })
    t.throws(() => request.tasks.enqueue(null as unknown as typeof note, 'x'), { code: 'FST_TASKS_INVALID_TASK' })
    await t.rejects(request.tasks.transaction(), { code: 'FST_TASKS_INVALID_CONFIG' })
    return {}
  })
  t.equal((await app.inject('/')).statusCode, 200)
  await app.tasks.flushed()
  t.same(backend.calls, [])
})

t.test("onConflict 'throw' is refused: nobody would be there to catch it", async (t) => {
  const own = note()
  const { app } = await build(t, { tasks: [own], backends: { default: { backend: 'dummy' } } })
  app.get('/', async (request) => {
    t.throws(() => request.tasks.enqueue(own.using({ uniqueKey: 'k', onConflict: 'throw' }), 'x'), { code: 'FST_TASKS_INVALID_TASK' })
    request.tasks.enqueue(own.using({ uniqueKey: 'k', onConflict: 'return' }), 'x')
    return {}
  })
  t.equal((await app.inject('/')).statusCode, 200)
})

t.test('a result that was cancelled before it left is never stored', async (t) => {
  const own = note()
  const { app } = await build(t, { tasks: [own], backends: { default: { backend: 'dummy' } } })
  let result: TaskResult | undefined
  app.get('/', async (request) => {
    result = request.tasks.enqueue(own, 'x')
    await t.rejects(result.refresh(), errors.RESULT_NOT_FOUND)
    t.equal(await result.cancel(), true)
    t.equal(await result.cancel(), false)
    return {}
  })
  await app.inject('/')
  await app.tasks.flushed()
  t.equal((app.tasks.backend() as unknown as { results: unknown[] }).results.length, 0)
  await result?.refresh()
  t.equal(result?.status, 'CANCELLED')
})

t.test('a plugin may be registered before, with decorators of its own', async (t) => {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  const own = note()
  const routes = async (child: FastifyInstance): Promise<void> => {
    child.decorateRequest('own', 1)
    child.get('/', async (request) => { request.tasks.enqueue(own, 'kept'); return {} })
    child.get('/fails', async (request) => { request.tasks.enqueue(own, 'dropped'); throw new Error('no') })
  }
  void app.register(routes, { prefix: '/before' })
  void app.register(fastifyTasks, { env: false, tasks: [own], backends: { default: { backend: RecordingBackend } } })
  void app.register(routes, { prefix: '/after' })
  for (const path of ['/before', '/after', '/before/fails', '/after/fails']) await app.inject(path)
  await app.tasks.flushed()
  t.same((app.tasks.backend() as RecordingBackend).calls, [[['kept']], [['kept']]])
})
