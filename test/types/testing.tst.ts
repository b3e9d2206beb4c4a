import { expect, test } from 'tstyche'
import type { FastifyInstance } from 'fastify'
import { task, type TaskResult } from 'fastify-tasks'
import { createClock, enqueued } from 'fastify-tasks/testing'

declare const app: FastifyInstance
const mail = task('mail', async (to: { email: string, name?: string }, copies: number = 1) => [to.email, copies])

test('what was enqueued is a list of results, and each claim has the types of its task', async () => {
  expect(await enqueued(app)).type.toBe<TaskResult[]>()
  const claims = enqueued(app)
  expect(claims.one).type.toBeCallableWith({ task: mail, args: [{ email: 'a' }, 2] })
  expect(claims.one).type.toBeCallableWith({ task: mail, args: [{ name: /a/ }] })
  expect(claims.one).type.toBeCallableWith({ task: mail, args: [{}, (copies: number | undefined) => copies === 2] })
  expect(claims.one).type.not.toBeCallableWith({ task: mail, args: ['a'] })
  expect(claims.one).type.not.toBeCallableWith({ task: mail, args: [{ mail: 'a' }] })
  expect(claims.one).type.not.toBeCallableWith({ taskName: 'mail' })
  expect(claims.some).type.toBeCallableWith({ task: 'mail', args: ['anything', 1] })
  const { args: [to, copies], returnValue } = await claims.one({ task: mail })
  expect(to).type.toBe<{ email: string, name?: string }>()
  expect(copies).type.toBe<number | undefined>()
  expect(returnValue).type.toBe<Array<string | number>>()
})

test('a clock is moved by durations and moments', () => {
  expect(createClock(app).advance).type.toBeCallableWith('1h')
  expect(createClock(app).advance).type.not.toBeCallableWith(new Date())
  expect(createClock(app).set).type.toBeCallableWith(new Date())
  expect(createClock(app).set).type.not.toBeCallableWith('2026-01-01')
})
