import { describe, expect, test } from 'tstyche'
import { Type } from 'typebox'
import { task, type IsolatedContext, type TaskArgs, type TaskContext, type TaskReturn } from 'fastify-tasks'

const schema = Type.Tuple([Type.Integer(), Type.Object({ email: Type.String({ format: 'email' }), name: Type.Optional(Type.String()) })])
type Args = [number, { email: string, name?: string }]

describe('a TypeBox tuple', () => {
  test('types the handler and the enqueue', () => {
    const mail = task('t', { schema }, async (id, user) => {
      expect(id).type.toBe<number>()
      expect(user).type.toBe<{ email: string, name?: string }>()
      return user.email
    })
    expect<TaskArgs<typeof mail>>().type.toBe<Args>()
    expect<TaskReturn<typeof mail>>().type.toBe<string>()
    expect(mail.enqueue).type.toBeCallableWith(1, { email: 'a' })
    expect(mail.enqueue).type.not.toBeCallableWith('1', { email: 'a' })
    expect(mail.enqueue).type.not.toBeCallableWith(1, {})
    expect(mail.enqueue).type.not.toBeCallableWith(1)
  })

  test('types it behind a context, in a thread as well', () => {
    const mail = task('t', { schema, takesContext: true }, async (context, id) => {
      expect(context).type.toBe<TaskContext>()
      expect(id).type.toBe<number>()
    })
    expect(mail.enqueue).type.toBeCallableWith(1, { email: 'a' })
    expect<TaskArgs<typeof mail>>().type.toBe<Args>()
    const isolated = task('t', { schema, takesContext: true, isolation: { module: 'file:///t.js', export: 't' } }, (context, id) => {
      expect(context).type.toBe<IsolatedContext>()
      expect(id).type.toBe<number>()
    })
    expect(isolated.enqueue).type.toBeCallableWith(1, { email: 'a' })
    expect<TaskArgs<typeof isolated>>().type.toBe<Args>()
  })

  test('agrees with annotations that say the same, or less', () => {
    expect(task).type.toBeCallableWith('t', { schema }, (id: number, user: { email: string }) => [id, user])
    expect(task).type.toBeCallableWith('t', { schema }, (id: number | string) => id)
    expect(task).type.toBeCallableWith('t', { schema }, () => {})
  })

  test('refuses annotations that contradict it', () => {
    expect(task).type.not.toBeCallableWith('t', { schema }, (id: string) => id)
    expect(task).type.not.toBeCallableWith('t', { schema }, (_id: number, user: { email: number }) => user)
    expect(task).type.not.toBeCallableWith('t', { schema }, (id: number, user: object, more: string) => [id, user, more])
    expect(task).type.not.toBeCallableWith('t', { schema, takesContext: true }, (context: TaskContext, id: string) => [context, id])
    expect(task).type.not.toBeCallableWith('t', { schema, takesContext: true }, (id: number) => id)
    expect(task).type.not.toBeCallableWith('t', { schema: Type.Object({ id: Type.Number() }) }, (id: number) => id)
  })

  test('refuses options that are none', () => {
    expect(task).type.not.toBeCallableWith('t', { schema, prioritty: 1 }, () => {})
    expect(task).type.not.toBeCallableWith('t', { schema, runAfter: '5m' }, () => {})
  })
})

test('every kind of TypeBox that JSON carries has its type', () => {
  const kinds = task('t', {
    schema: Type.Tuple([
      Type.Array(Type.Union([Type.Literal('a'), Type.Literal(1), Type.Null()])), Type.Boolean(), Type.Enum(['x', 'y']), Type.Record(Type.String(), Type.Number()),
      Type.Intersect([Type.Object({ a: Type.String() }), Type.Object({ b: Type.Number() })]), Type.Unknown(), Type.Unsafe<Map<1, 2>>({}), Type.Tuple([Type.String()])
    ])
  }, (_a, _b, _c, _d, _e, _f, _g, _h) => {})
  expect(kinds.enqueue).type.not.toBeCallableWith()
  expect<TaskArgs<typeof kinds>>().type.toBe<[Array<'a' | 1 | null>, boolean, 'x' | 'y', Record<string, number>, { a: string } & { b: number }, unknown, Map<1, 2>, [string]]>()
  const many = task('t', { schema: Type.Array(Type.Number()) }, (...numbers) => numbers.length)
  expect(many.enqueue).type.toBeCallableWith(1, 2, 3)
  expect<TaskArgs<typeof many>>().type.toBe<number[]>()
})

test('a schema that says its type itself, as of TypeBox before 1.0, types the handler as well', () => {
  const older = { type: 'array', items: [] } as unknown as { static: [id: number, name: string], params: unknown[] }
  const typed = task('t', { schema: older }, async (id, name) => { expect(id).type.toBe<number>(); return name })
  expect(typed.enqueue).type.toBeCallableWith(1, 'a')
  expect<TaskArgs<typeof typed>>().type.toBe<[id: number, name: string]>()
  expect(task).type.not.toBeCallableWith('t', { schema: older }, (id: string) => id)
})

test('plain JSON Schema types nothing: the annotations of the handler do', () => {
  const plain = task('t', { schema: { type: 'array', items: [{ type: 'number' }] } }, (id: number) => id)
  expect(plain.enqueue).type.toBeCallableWith(1)
  expect<TaskArgs<typeof plain>>().type.toBe<[id: number]>()
  const constant = { type: 'array', items: [{ type: 'number' }], minItems: 1 } as const
  const constantly = task('t', { schema: constant, takesContext: true }, (context, id: number) => [context.attempt, id])
  expect(constantly.enqueue).type.toBeCallableWith(1)
  expect<TaskArgs<typeof constantly>>().type.toBe<[id: number]>()

  interface Described { type: string }
  expect(task).type.toBeCallableWith('t', { schema: {} as Described }, (id: number) => id)
  expect(task).type.toBeCallableWith('t', { schema: {} as object }, (id: number) => id)
  expect(task).type.not.toBeCallableWith('t', { schema: 'array' }, (id: number) => id)
})
