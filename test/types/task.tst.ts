import { describe, expect, test } from 'tstyche'
import { task, type AnyTask, type ResultOf, type Task, type TaskArgs, type TaskContext, type TaskResult, type TaskReturn } from 'fastify-tasks'

const add = task('math.add', async (a: number, b: number) => a + b)
const build = task('reports.build', { takesContext: true, queueName: 'reports', retry: { limit: 5 } }, async (context, month: string, pages?: number) => ({ month, pages: pages ?? context.attempt }))
const quiet = task('quiet', { priority: 3 }, () => {})

describe('a definition', () => {
  test('takes the types of its handler', () => {
    expect<TaskArgs<typeof add>>().type.toBe<[a: number, b: number]>()
    expect<TaskReturn<typeof add>>().type.toBe<number>()
    expect<TaskArgs<typeof build>>().type.toBe<[month: string, pages?: number | undefined]>()
    expect<TaskReturn<typeof build>>().type.toBe<{ month: string, pages: number }>()
  })

  test('gives a context to a handler that takes one', () => {
    task('t', { takesContext: true }, (context) => { expect(context).type.toBe<TaskContext>() })
    task('t', { takesContext: true }, (context, id: number) => { expect(context.taskResult.args).type.toBeAssignableTo<readonly unknown[]>(); return id })
  })

  test('stores nothing as null', () => {
    expect<TaskReturn<typeof quiet>>().type.toBe<null>()
  })

  test('refuses options that are none, and those that belong to one enqueue', () => {
    expect(task).type.not.toBeCallableWith('t', { prioritty: 1 }, () => {})
    expect(task).type.not.toBeCallableWith('t', { runAfter: '5m' }, () => {})
    expect(task).type.not.toBeCallableWith('t', { priority: 'high' }, () => {})
    expect(task).type.not.toBeCallableWith('t')
    expect(task).type.not.toBeCallableWith(() => {})
    expect(task).type.toBeCallableWith('t', { priority: undefined, schema: undefined, takesContext: undefined }, () => {})
  })

  test('is a task whatever its types are', () => {
    expect(add).type.toBeAssignableTo<AnyTask>()
    expect(build).type.toBeAssignableTo<AnyTask>()
    expect(add).type.toBeAssignableTo<Task<[number, number], Promise<number>>>()
    expect(add).type.not.toBeAssignableTo<Task<[string], Promise<number>>>()
  })
})

describe('a call', () => {
  test('is the function itself, context included', () => {
    expect(add(1, 2)).type.toBe<Promise<number>>()
    expect(add).type.not.toBeCallableWith('1', 2)
    expect(build).type.not.toBeCallableWith('2026-11')
    expect(build).type.toBeCallableWith({} as TaskContext, '2026-11')
  })
})

describe('an enqueue', () => {
  test('takes the arguments without the context', () => {
    expect(add.enqueue(1, 2)).type.toBe<Promise<TaskResult<number, [a: number, b: number]>>>()
    expect(add.enqueue).type.not.toBeCallableWith('1', 2)
    expect(add.enqueue).type.not.toBeCallableWith(1)
    expect(add.enqueue).type.not.toBeCallableWith(1, 2, 3)
    expect(build.enqueue).type.toBeCallableWith('2026-11')
    expect(build.enqueue).type.toBeCallableWith('2026-11', 4)
    expect(build.enqueue).type.not.toBeCallableWith({} as TaskContext, '2026-11')
  })

  test('of many takes a list of them', () => {
    expect(add.enqueueMany([[1, 2], [3, 4]])).type.toBe<Promise<Array<TaskResult<number, [a: number, b: number]>>>>()
    expect(add.enqueueMany).type.toBeCallableWith([] as Array<[number, number]>)
    expect(add.enqueueMany).type.toBeCallableWith([[1, 2]] as ReadonlyArray<readonly [number, number]>)
    expect(add.enqueueMany).type.not.toBeCallableWith([[1, '2']])
    expect(add.enqueueMany).type.not.toBeCallableWith([1, 2])
  })

  test('of a copy by using keeps the types', () => {
    const high = add.using({ priority: 50, queueName: 'high', runAfter: null, uniqueKey: 'k', tags: ['a'] as const, timeout: null })
    expect(high).type.toBe(add)
    expect(add.using({ runAfter: new Date() }).using({ runAfter: '5m' }).enqueue(1, 2)).type.toBe<Promise<TaskResult<number, [a: number, b: number]>>>()
    expect(add.using).type.not.toBeCallableWith({ takesContext: true })
    expect(add.using).type.not.toBeCallableWith({ onConflict: 'ignore' })
    expect(add.using).type.toBeCallableWith({ onSuccess: quiet, onFailure: build })
  })
})

describe('a result', () => {
  test('has the types of its task', async () => {
    const result = await add.getResult('id')
    expect(result.returnValue).type.toBe<number>()
    expect(result.args).type.toBe<Readonly<[a: number, b: number]>>()
    expect((await result.wait()).returnValue).type.toBe<number>()
    expect<ResultOf<typeof build>['returnValue']>().type.toBe<{ month: string, pages: number }>()
  })

  test('is read-only', () => {
    expect<ResultOf<typeof add>>().type.toBeAssignableTo<Readonly<{ status: string, id: string }>>()
    expect<Pick<ResultOf<typeof add>, 'status'>>().type.toBe<{ readonly status: ResultOf<typeof add>['status'] }>()
  })
})
