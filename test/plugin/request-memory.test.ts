import assert from 'node:assert/strict'
import t from 'tap'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import fastifyTasks, { task, type TaskResult } from 'fastify-tasks'
import { eventually } from '../support/eventually.ts'
import { collectGarbage } from '../support/garbage.ts'
import { RecordingBackend } from './recording-backend.ts'

// A busy route has hundreds of requests whose tasks wait for the database: each that lives until then is copied by the
// garbage collector, with its reply and its socket's buffers.

const REQUESTS = 10

type Handle = (request: FastifyRequest, enqueue: () => void) => unknown
const enqueueAtOnce: Handle = (_request, enqueue) => { enqueue() }

const WAYS: Record<string, { flushOn?: 'onSend', open?: boolean, handle?: Handle }> = {
  'while the database has not answered': {},
  'while it has not, and request.tasks was first touched after the response': { handle: (_request, enqueue) => { setTimeout(enqueue, 50) } },
  'once it was stored before the reply': { flushOn: 'onSend', open: true },
  'once it was stored by flush()': { open: true, handle: async (request, enqueue) => { enqueue(); await request.tasks.flush() } }
}

for (const [when, { flushOn = 'onResponse', open = false, handle = enqueueAtOnce }] of Object.entries(WAYS)) {
  t.test(`a result that a request gave out does not keep the request ${when}`, async (t) => {
    const note = task('note', async () => {})
    const app = Fastify()
    await app.register(fastifyTasks, { env: false, tasks: [note], flushOn, backends: { default: { backend: RecordingBackend } } })
    const backend = app.tasks.backend() as RecordingBackend
    let answer = (): void => {}
    if (!open) backend.gate = new Promise((resolve) => { answer = resolve })
    t.teardown(async () => { answer(); await app.close() })
    const results: TaskResult[] = []
    const given: Array<WeakRef<FastifyRequest | FastifyReply>> = []
    app.get('/', async (request, reply) => {
      given.push(new WeakRef(request), new WeakRef(reply))
      await handle(request, () => { results.push(request.tasks.enqueue(note)) })
      return { ok: true }
    })
    const address = await app.listen({ port: 0, host: '127.0.0.1' })
    for (let count = 0; count < REQUESTS; count++) await (await fetch(address, { headers: { connection: 'close' } })).text()
    await eventually(() => {
      assert.equal(results.length, REQUESTS)
      collectGarbage()
      assert.equal(given.filter((each) => each.deref() !== undefined).length, 0)
    })
    t.equal(backend.ids.length, open ? REQUESTS : 0)
  })
}
