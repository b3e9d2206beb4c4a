import t from 'tap'
import Fastify, { type FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import fastifyTasks, { task, type AnyTask } from 'fastify-tasks'
import { checkStoredArguments } from '#lib/core/schema.js'

async function open (t: { teardown: (fn: () => Promise<unknown>) => void }, ...tasks: AnyTask[]): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(async () => { await app.close() })
  await app.register(fastifyTasks, { env: false, tasks, backends: { default: { backend: 'dummy' } } })
  return app
}

const user = { type: 'object', properties: { email: { type: 'string', format: 'email' }, age: { type: 'integer', default: 7 } }, required: ['email'], additionalProperties: false }

t.test('arguments that do not match are refused at the enqueue, by their path and the rule, and never by their value', async (t) => {
  const mail = task('mail', { schema: { type: 'array', items: [{ type: 'integer' }, { type: 'array', items: user }], minItems: 1, additionalItems: false } }, async (...args: unknown[]) => args)
  await open(t, mail)
  const cases: Array<[args: unknown[], message: RegExp]> = [
    [['secret'], /args\[0\] cannot be stored: it must be integer, says the schema of task 'mail'/],
    [[1, [{ email: 'secret' }]], /args\[1\]\[0\]\.email cannot be stored: it must match format "email"/],
    [[1, [{ email: 'a@example.com', age: 'secret' }]], /args\[1\]\[0\]\.age cannot be stored: it must be integer/],
    [[1, [{}]], /args\[1\]\[0\] cannot be stored: it must have required property 'email'/],
    [[1, [{ email: 'a@example.com', secret: 1 }]], /args\[1\]\[0\] cannot be stored: it must NOT have additional properties/],
    [[], /args cannot be stored: it must NOT have fewer than 1 items/],
    [[1, [], 'secret'], /args cannot be stored: it must NOT have more than 2 items/]
  ]
  for (const [args, message] of cases) {
    const error: any = await mail.enqueue(...args).then(() => null, (refusal: unknown) => refusal)
    t.match(error, { code: 'FST_TASKS_INVALID_ARGUMENT', statusCode: 400, message })
    t.notMatch(error.message, /secret/)
  }
  await t.rejects(mail.enqueueMany([[1], ['secret']]), { code: 'FST_TASKS_INVALID_ARGUMENT' }, 'and nothing of what is enqueued together is stored')
})

t.test('arguments that match are stored as they are: no coercion, no defaults, nothing removed', async (t) => {
  const note = task('note', { schema: { type: 'array', items: [{ type: 'object', properties: { a: { type: 'number', default: 1 } } }], default: [] } }, async (value: object) => value)
  await open(t, note)
  t.strictSame((await note.enqueue({ b: '2' })).args, [{ b: '2' }])
  await t.rejects(note.enqueue({ a: '1' }), { code: 'FST_TASKS_INVALID_ARGUMENT' })
})

t.test('references, formats and the drafts of JSON Schema are known', async (t) => {
  const id = { $id: 'https://example.com/args', type: 'array', $defs: { id: { type: 'string', format: 'uuid' } } }
  const drafts = [
    { ...id, items: [{ $ref: '#/$defs/id' }], additionalItems: false },
    { ...id, $schema: 'http://json-schema.org/draft-07/schema#', items: [{ $ref: '#/$defs/id' }], additionalItems: false },
    { ...id, $schema: 'https://json-schema.org/draft/2019-09/schema', items: [{ $ref: '#/$defs/id' }], additionalItems: false },
    { ...id, $schema: 'https://json-schema.org/draft/2020-12/schema', prefixItems: [{ $ref: '#/$defs/id' }], items: false },
    { ...id, prefixItems: [{ $ref: '#/$defs/id' }], items: false }
  ]
  const tasks = drafts.map((schema, index) => task(`draft${index}`, { schema }, async (id: string) => id))
  await open(t, ...tasks) // one $id in all of them
  for (const one of tasks) {
    await t.resolves(one.enqueue('0190a000-0000-7000-8000-000000000000'))
    await t.rejects(one.enqueue('not a uuid'), { code: 'FST_TASKS_INVALID_ARGUMENT', message: /args\[0\] cannot be stored: it must match format "uuid"/ })
    await t.rejects((one as AnyTask).enqueue('0190a000-0000-7000-8000-000000000000', 1), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  }
})

t.test('a schema that is none is refused at the definition, or at the registration at the latest', async (t) => {
  for (const schema of ['array', 1, true, [], Type.Object({}), { type: 'string' }]) t.throws(() => task('t', { schema } as never, () => {}), { code: 'FST_TASKS_INVALID_TASK', message: /schema must/ })
  const wrong = [
    { type: 'arrays' }, { type: 'array', minItems: -1 }, { type: 'array', items: { $ref: '#/nowhere' } }, { $async: true, type: 'array' },
    { $schema: 'https://example.com/unknown', type: 'array' }, { type: 'array', items: { type: 'string', format: 'emial' } }
  ]
  for (const [index, schema] of wrong.entries()) {
    const refused = async (): Promise<void> => {
      const app = await open(t)
      await app.ready()
      app.tasks.add(task('t', { schema: schema as never }, () => {}))
    }
    await t.rejects(refused, { code: 'FST_TASKS_INVALID_TASK', message: /schema/ }, String(index))
  }
  t.throws(() => task('t', () => {}).using({ schema: { type: 'array' } } as never), { code: 'FST_TASKS_INVALID_TASK' })
})

t.test('a schema of TypeBox checks as it types', async (t) => {
  const mail = task('mail', { schema: Type.Tuple([Type.Integer(), Type.Object({ email: Type.String({ format: 'email' }), name: Type.Optional(Type.String()) })]) }, async (id, { email }) => [id, email])
  await open(t, mail)
  await t.resolves(mail.enqueue(1, { email: 'ann@example.com' }))
  await t.rejects(mail.enqueue(1, { email: 'ann' }), { code: 'FST_TASKS_INVALID_ARGUMENT' })
  await t.rejects((mail as AnyTask).enqueue(1), { code: 'FST_TASKS_INVALID_ARGUMENT' })
})

t.test('stored arguments that no longer match are refused by path and rule', async (t) => {
  const mail = task('mail', { schema: { type: 'array', items: [{ type: 'object', required: ['email'] }] } }, async (user: object) => user)
  t.throws(() => { checkStoredArguments(mail, [{ mail: 'secret' }]) }, { code: 'FST_TASKS_INVALID_SCHEMA', message: /args\[0\] must have required property 'email'/ })
})
