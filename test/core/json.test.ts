import t from 'tap'
import fc from 'fast-check'
import vm from 'node:vm'
import { isDeepStrictEqual } from 'node:util'
import Fastify from 'fastify'
import { decode, encodeArguments, encodeValue } from '#lib/core/json.js'
import { INVALID_RESULT } from '#lib/core/errors.js'

const LIMITS = { maxBytes: 256 * 1024, maxDepth: 64 }
const encode = (...args: unknown[]) => encodeArguments(args, LIMITS)
const nested = (depth: number): unknown => depth === 0 ? 1 : [nested(depth - 1)]

function refusalOf (args: readonly unknown[], limits = LIMITS): string {
  try {
    encodeArguments(args, limits)
  } catch (error) {
    const { code, message } = error as Error & { code: string }
    if (code !== 'FST_TASKS_INVALID_ARGUMENT') throw error
    return message
  }
  return 'accepted'
}

t.test('what JSON can say comes back equal and deeply frozen', async (t) => {
  const args = [1, 'a', null, true, { list: [1, { deep: 'x' }], 'odd key': '' }, [], {}]
  const { text, value } = encode(...args)
  t.strictSame(decode(text), args)
  t.strictSame(value, args)
  t.ok(isDeepStrictEqual(value, args))
  t.ok(Object.isFrozen(value))
  t.ok(Object.isFrozen(value[4]))
  t.ok(Object.isFrozen((value[4] as any).list[1]))
})

t.test('the stored value is a copy: what the caller changes later does not reach it', async (t) => {
  const user = { name: 'a' }
  const { value } = encode(user)
  user.name = 'b'
  t.strictSame(value, [{ name: 'a' }])
})

t.test('three leniencies: undefined properties, trailing undefined arguments, minus zero', async (t) => {
  t.equal(encode({ a: undefined, b: 1 }).text, '[{"b":1}]')
  t.equal(encode(1, undefined, undefined).text, '[1]')
  t.equal(encode(undefined).text, '[]')
  const { text, value } = encode(-0, [-0])
  t.equal(text, '[0,[0]]')
  t.ok(Object.is(value[0], 0))
})

t.test('what would not come back equal is refused, with its path and a remedy', async (t) => {
  class User { name = 'x' }
  class Money { toJSON (): string { return '1 EUR' } }
  const cycle: any = { a: {} }
  cycle.a.b = cycle
  const match = /a/.exec('a')
  const hidden = Object.defineProperty({ a: 1 }, 'secret', { value: 1 })
  const cases: Array<[args: unknown[], path: string, remedy: RegExp]> = [
    [[{ user: { createdAt: new Date() } }], 'args[0].user.createdAt', /ISO string/],
    [[{ 'odd key': () => {} }], 'args[0]["odd key"]', /function/],
    [[1, undefined, 2], 'args[1]', /null/],
    [[[undefined]], 'args[0][0]', /null/],
    [[Symbol('x')], 'args[0]', /symbol/],
    [[{ [Symbol('x')]: 1 }], 'args[0]', /symbol as a key/],
    [[10n], 'args[0]', /String\(value\)/],
    [[new Map([[1, 2]])], 'args[0]', /array of entries/],
    [[new Set()], 'args[0]', /\[\.\.\.set\]/],
    [[new Uint8Array(2)], 'args[0]', /base64/],
    [[Buffer.from('x')], 'args[0]', /base64/],
    [[new ArrayBuffer(2)], 'args[0]', /base64/],
    [[new User()], 'args[0]', /instance of User/],
    [[new Money()], 'args[0]', /instance of Money/],
    [[new URL('http://localhost')], 'args[0]', /instance of URL/],
    [[Object.create({ inherited: 1 })], 'args[0]', /prototype/],
    [[{ toJSON: () => 1 }], 'args[0].toJSON', /function/],
    [[NaN], 'args[0]', /NaN/],
    [[{ a: [Infinity] }], 'args[0].a[0]', /Infinity/],
    [[-Infinity], 'args[0]', /-Infinity/],
    // eslint-disable-next-line no-sparse-arrays
    [[[1, , 3]], 'args[0][1]', /hole/],
    [[new Array(3)], 'args[0][0]', /hole/],
    [[cycle], 'args[0].a.b', /contains itself/],
    [[JSON.parse('{"a":{"__proto__":{}}}')], 'args[0].a.__proto__', /__proto__/],
    [[match], 'args[0].index', /named property/],
    [[hidden], 'args[0].secret', /not enumerable/],
    [[Promise.resolve()], 'args[0]', /Await/],
    [[/x/], 'args[0]', /RegExp/],
    [[new Error('x')], 'args[0]', /message/],
    [[Object('x')], 'args[0]', /primitive/],
    [[new (class List extends Array {})()], 'args[0]', /instance of List/],
    [[new WeakMap()], 'args[0]', /WeakMap/],
    [[Object.setPrototypeOf(new Date(), Object.prototype)], 'args[0]', /Date/],
    [[Object.setPrototypeOf(new Map([[1, 2]]), null)], 'args[0]', /Map/],
    [[(function () { return arguments })()], 'args[0].length', /not enumerable/]
  ]
  for (const [args, path, remedy] of cases) {
    const message = refusalOf(args)
    t.ok(message.startsWith(`${path} cannot be stored: `), `${path}: ${message}`)
    t.match(message, remedy)
  }
})

t.test('the arguments themselves must be a list', async (t) => {
  t.match(refusalOf('ab' as unknown as unknown[]), /args cannot be stored/)
})

t.test('the same object twice is no cycle', async (t) => {
  const shared = { id: 1 }
  t.equal(encode({ a: shared, b: shared }, shared).text, '[{"a":{"id":1},"b":{"id":1}},{"id":1}]')
})

t.test('plain objects of any realm and without a prototype pass', async (t) => {
  t.equal(encode(vm.runInNewContext('({ a: [1, { b: 2 }] })')).text, '[{"a":[1,{"b":2}]}]')
  t.equal(encode(Object.assign(Object.create(null), { a: 1 })).text, '[{"a":1}]')
  t.match(refusalOf([vm.runInNewContext('new Date()')]), /ISO string/)
  t.match(refusalOf([vm.runInNewContext('new (class A { })()')]), /instance of A/)
  t.match(refusalOf([vm.runInNewContext('new (class B extends Array { })()')]), /instance of B/)
})

t.test("Fastify's own query, params and body pass", async (t) => {
  const app = Fastify()
  t.teardown(async () => await app.close())
  app.post('/users/:id/*', async (request) => encode(request.query, request.params, request.body).text)
  const reply = await app.inject({ method: 'POST', url: '/users/7/x?a=1&a=2&b=%00', payload: { c: [1] } })
  t.strictSame(JSON.parse(reply.body), [{ a: ['1', '2'], b: '\0' }, { id: '7', '*': 'x' }, { c: [1] }])
})

t.test('depth counts the nested arrays and objects of one value', async (t) => {
  t.equal(refusalOf([nested(64), nested(64)]), 'accepted')
  const message = refusalOf([nested(65)])
  t.match(message, /deeper than 64/)
  t.ok(message.length < 300, 'a long path is cut in its middle')
  t.match(refusalOf([nested(5000)]), /deeper than 64/)
})

t.test('size counts the UTF-8 bytes of the text', async (t) => {
  const limits = { maxBytes: 20, maxDepth: 64 }
  t.equal(refusalOf(['a'.repeat(16)], limits), 'accepted')
  t.match(refusalOf(['a'.repeat(17)], limits), /^args cannot be stored: as JSON it is larger than 20 bytes/)
  t.equal(refusalOf(['€'.repeat(5)], limits), 'accepted', '15 bytes and four signs')
  t.match(refusalOf(['€'.repeat(6)], limits), /larger than 20/)
  t.match(refusalOf(['\0\0\0'], limits), /larger than 20/, 'an escape takes six bytes')
  t.equal(refusalOf([[1, 2, 3, 4, 5, 6, 7, 8]], limits), 'accepted')
  t.equal(refusalOf([{ abcdefghij: '' }], limits), 'accepted', 'just 19')
})

t.test('a value far too large is refused before anything of its size is built', async (t) => {
  const shared = Array.from({ length: 1000 }, () => 'x'.repeat(100))
  let bomb: unknown = shared
  for (let level = 0; level < 20; level++) bomb = Array.from({ length: 10 }, () => bomb)
  const started = performance.now()
  t.match(refusalOf([bomb]), /larger than/)
  t.match(refusalOf(['x'.repeat(2 ** 29 - 24)]), /larger than/)
  t.match(refusalOf([new Array(2 ** 32 - 1)]), /larger than/)
  t.ok(performance.now() - started < 10_000)
})

t.test('what was checked is what is stored: every property is read once', async (t) => {
  let reads = 0
  const shifty = { get value () { return reads++ === 0 ? 'plain' : new Date() } }
  t.equal(encode(shifty).text, '[{"value":"plain"}]')
  t.equal(reads, 1)
  const proxy = new Proxy({ a: 1 }, { get: () => reads++ })
  t.equal(encode(proxy).text, '[{"a":1}]')
})

t.test('values that throw when they are read are refused, not passed on', async (t) => {
  t.match(refusalOf([{ a: { get b () { throw new Error('secret') } } }]), /^args\[0\]\.a\.b cannot be stored: reading it threw/)
  t.notMatch(refusalOf([{ get b () { throw new Error('secret') } }]), /secret/)
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  t.match(refusalOf([proxy]), /reading it threw/)
  t.match(refusalOf([new Proxy({}, { ownKeys () { throw new TypeError('no') } })]), /reading it threw/)
  t.match(refusalOf([new Proxy({}, { getPrototypeOf () { throw new TypeError('no') } })]), /reading it threw/)
})

t.test('names that Object.prototype has are ordinary keys', async (t) => {
  const value = { constructor: 1, toString: 'x', hasOwnProperty: null, prototype: {} }
  t.equal(encode(value).text, JSON.stringify([value]))
  t.ok(isDeepStrictEqual(encode(value).value, [value]))
})

t.test('NUL and lone surrogates pass and come back', async (t) => {
  const value = ['\0', '\ud800', 'a\udfffb', { '\0\ud800': 1 }]
  const { text } = encode(value)
  t.notMatch(text, /\0/)
  t.ok(text.isWellFormed())
  t.ok(isDeepStrictEqual(decode(text), [value]))
})

t.test('a refusal never quotes the value', async (t) => {
  t.notMatch(refusalOf([{ password: 12345678901234567890n }]), /1234/)
  t.ok(refusalOf([{ ['k'.repeat(10_000)]: 1n }]).length < 300)
})

t.test('encodeValue: one value, nothing is null, and the error is of the caller\'s choice', async (t) => {
  t.equal(encodeValue(undefined, LIMITS), 'null')
  t.equal(encodeValue({ a: undefined }, LIMITS), '{}')
  t.throws(() => encodeValue({ a: 1n }, { ...LIMITS, path: 'progress' }), { code: 'FST_TASKS_INVALID_ARGUMENT', message: /^progress\.a / })
  t.throws(() => encodeValue(() => {}, { ...LIMITS, error: (path, reason) => new INVALID_RESULT(`${path}: ${reason}`) }), { code: 'FST_TASKS_INVALID_RESULT' })
  t.throws(() => encodeValue('x'.repeat(20), { maxBytes: 10, maxDepth: 1 }), /larger than 10/)
})

t.test('decode refuses a __proto__ key, however it is spelt, and only a key', async (t) => {
  t.throws(() => decode('{"a":[{"__proto__":1}]}'), SyntaxError)
  t.throws(() => decode('{"\\u005f_proto__":1}'), SyntaxError)
  t.throws(() => decode('{'), SyntaxError)
  t.strictSame(decode('["__proto__"]'), ['__proto__'])
  t.strictSame(decode('{"a":"\\u0000"}'), { a: '\0' })
  t.doesNotThrow(() => decode(`${'['.repeat(50_000)}"__proto__"${']'.repeat(50_000)}`))
})

t.test('any value is refused or comes back as it went in', async (t) => {
  const anything = fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withNullPrototype: true,
    withObjectString: true,
    withSparseArray: true,
    withTypedArray: true,
    withUnicodeString: true
  })
  t.doesNotThrow(() => {
    fc.assert(fc.property(fc.array(anything), (args) => {
      if (refusalOf(args) !== 'accepted') return
      const { text, value } = encodeArguments(args, LIMITS)
      const expected = lenient(args)
      return isDeepStrictEqual(decode(text), expected) && isDeepStrictEqual(value, expected)
    }), { numRuns: 2000 })
  })
})

t.test('any JSON value passes', async (t) => {
  t.doesNotThrow(() => {
    fc.assert(fc.property(fc.array(fc.jsonValue({ maxDepth: 8 })), (args) => {
      const clean = JSON.parse(JSON.stringify(args))
      const text = JSON.stringify(clean)
      return text.includes('__proto__') || (encodeArguments(args, LIMITS).text === text && isDeepStrictEqual(decode(text), clean))
    }), { numRuns: 2000 })
  })
})

/** What the three leniencies make of a value, and a null prototype of an ordinary one. */
function lenient (value: unknown): unknown {
  if (Array.isArray(value)) {
    const list = value.map(lenient)
    while (list.length > 0 && list.at(-1) === undefined) list.pop()
    return list
  }
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined).map(([key, inner]) => [key, lenient(inner)]))
  }
  return value === 0 ? 0 : value
}
