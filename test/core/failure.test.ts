import t from 'tap'
import createError from '@fastify/error'
import { briefFailure, describeFailure } from '#lib/core/failure.js'
import { FatalTaskError } from '#lib/core/errors.js'
import { ERROR_MESSAGE_LENGTH_MAX, ERROR_TRACEBACK_LENGTH_MAX } from '#lib/core/limits.js'

const describe = (thrown: unknown) => describeFailure(thrown, 2, 1000)

function trap (): never {
  throw new Error('touched')
}
const hostile = { get: trap, has: trap, getPrototypeOf: trap, ownKeys: trap, getOwnPropertyDescriptor: trap }

t.test('an error is described by its class, message, code and stack', async (t) => {
  class PaymentError extends Error { code = 'E_PAY' }
  const failure = describe(new PaymentError('no money'))
  t.match(failure, { exceptionClass: 'PaymentError', message: 'no money', code: 'E_PAY', attempt: 2, at: 1000 })
  t.match(failure.traceback, /no money\n\s+at /)
  t.ok(Object.isFrozen(failure))
})

t.test('the class is the one that says most', async (t) => {
  t.equal(describe(new TypeError('x')).exceptionClass, 'TypeError')
  t.equal(describe(new (class Own extends TypeError {})('x')).exceptionClass, 'Own')
  t.equal(describe(new FatalTaskError()).exceptionClass, 'FatalTaskError')
  t.equal(describe(Object.assign(new Error('x'), { name: 'NamedError' })).exceptionClass, 'NamedError')
  t.equal(describe(new DOMException('x', 'AbortError')).exceptionClass, 'AbortError')
  t.equal(describe(new (createError('E_X', 'x'))()).exceptionClass, 'FastifyError')
  t.equal(describe(new (createError('E_X', 'x'))()).code, 'E_X')
  t.equal(describe(Object.assign(new Error('x'), { code: 42 })).code, '42')
})

t.test('whatever is thrown has a description', async (t) => {
  t.match(describe('boom'), { exceptionClass: 'string', message: 'boom', code: null, traceback: 'string: boom' })
  t.match(describe(null), { exceptionClass: 'null', message: 'null' })
  t.match(describe(undefined), { exceptionClass: 'undefined', message: 'undefined' })
  t.match(describe(7n), { exceptionClass: 'bigint', message: '7' })
  t.match(describe(Symbol('s')), { exceptionClass: 'symbol', message: 'Symbol(s)' })
  t.match(describe({ message: 'plain', code: 'E' }), { exceptionClass: 'Object', message: 'plain', code: 'E' })
  t.match(describe({ secret: 1 }), { exceptionClass: 'Object', message: 'Something that is not an Error was thrown.' })
  t.match(describe(() => {}), { exceptionClass: 'Function' })
  t.match(describe(Object.create(null)), { exceptionClass: 'Object' })
})

t.test('errors that throw at every touch are described all the same', async (t) => {
  const getters = Object.create(Error.prototype, {
    message: { get: trap }, stack: { get: trap }, code: { get: trap }, cause: { get: trap }, name: { get: trap }, constructor: { get: trap }
  })
  const revoked = Proxy.revocable(new Error('x'), {})
  revoked.revoke()
  const wrong = Object.create(Error.prototype, { message: { value: { toString: trap } }, stack: { value: 5 }, code: { value: {} }, errors: { value: { length: 1e9 } } })
  for (const thrown of [getters, revoked.proxy, new Proxy(new Error('x'), hostile), new Proxy(() => {}, hostile), wrong, Object.freeze(new Error('frozen'))]) {
    const failure = describe(thrown)
    t.equal(typeof failure.exceptionClass, 'string')
    t.equal(typeof failure.message, 'string')
    t.equal(typeof failure.traceback, 'string')
    t.doesNotThrow(() => briefFailure(thrown))
  }
})

t.test('what is stored is bounded, and a long message leaves room for the frames', async (t) => {
  const failure = describe(new Error('m'.repeat(10 * 1024 * 1024)))
  t.equal(failure.message.length, ERROR_MESSAGE_LENGTH_MAX)
  t.ok(failure.message.endsWith('… (cut)'))
  t.ok(failure.traceback.length <= ERROR_TRACEBACK_LENGTH_MAX)
  t.match(failure.traceback, /\n\s+at /)
  const long = describe(Object.assign(new Error('x'), { stack: 's'.repeat(1e6), code: 'c'.repeat(1e6), name: 'n'.repeat(1e6) }))
  t.equal(long.traceback.length, ERROR_TRACEBACK_LENGTH_MAX)
  t.ok(long.exceptionClass.length <= 128 && (long.code as string).length <= 128)
})

t.test('NUL and lone surrogates are replaced, and none is made by a cut', async (t) => {
  const failure = describe(new Error(`a\0b\ud800c${'😀'.repeat(5000)}`))
  for (const value of Object.values(failure)) {
    if (typeof value !== 'string') continue
    t.notMatch(value, /\0/)
    t.ok(value.isWellFormed())
  }
  t.ok(failure.message.startsWith('a\uFFFDb\uFFFDc'))
})

t.test('the traceback goes on into causes and aggregated errors, and round no circle', async (t) => {
  const inner = new Error('inner')
  t.match(describe(new Error('outer', { cause: inner })).traceback, /outer[^]*Caused by: Error: inner/)
  t.match(describe(new AggregateError([new Error('one'), 'two'], 'all')).traceback, /all[^]*Error 0: Error: one[^]*Error 1: string: two/)
  inner.cause = new Error('outer', { cause: inner })
  t.equal(describe(inner).traceback.match(/Error: inner/g)?.length, 1)
  let deep = new Error('0')
  for (let index = 1; index < 10_000; index++) deep = new Error(String(index), { cause: deep })
  t.ok(describe(deep).traceback.length <= ERROR_TRACEBACK_LENGTH_MAX)
  t.doesNotThrow(() => describe(new AggregateError(new Array(1e6).fill('x'))))
})

t.test('for a log line there is class and code, and no message', async (t) => {
  t.strictSame(briefFailure(Object.assign(new Error('secret'), { code: 'E' })), { exceptionClass: 'Error', code: 'E' })
})
