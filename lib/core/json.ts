import { types } from 'node:util'
import { INVALID_ARGUMENT } from './errors.js'
import { isDisguised, refusal, pathOf, tooDeep, tooLarge, UNREADABLE } from './json-refusal.js'

/** What one encoded text may be. */
export interface JsonLimits {
  /** UTF-8 bytes of the text. */
  readonly maxBytes: number
  /** Nested arrays and objects in one value. */
  readonly maxDepth: number
}

export interface EncodedArguments {
  readonly text: string
  /** What the text says: a deeply frozen copy, which the caller's later changes do not reach. */
  readonly value: readonly unknown[]
}

/** Makes the error of a refusal, from the path of what was refused and the reason with its remedy. */
export type MakeError = (path: string, reason: string) => Error

/**
 * The one gate to what is stored: what passes comes back equal, everything else is refused. Three leniencies: a
 * property that is `undefined` is left out, trailing `undefined` arguments are dropped, `-0` becomes `0`. NUL and lone
 * surrogates pass, because JSON text holds both as escapes.
 *
 * @throws FST_TASKS_INVALID_ARGUMENT
 */
export function encodeArguments (args: readonly unknown[], limits: JsonLimits): EncodedArguments {
  if (!Array.isArray(args)) throw invalidArgument('args', 'it must be an array with one element for each argument.')
  const gate = new Gate(limits, 'args', invalidArgument)
  return gate.run(() => {
    let length = args.length
    while (length > 0 && args[length - 1] === undefined) length--
    return gate.list(args, length)
  })
}

/**
 * As {@link encodeArguments} for one value: a return value, progress. Nothing at all (`undefined`) is stored as null.
 *
 * @throws what `error` makes; FST_TASKS_INVALID_ARGUMENT by default
 */
export function encodeValue (value: unknown, { path = 'value', error = invalidArgument, ...limits }: JsonLimits & { readonly path?: string, readonly error?: MakeError }): string {
  if (value === undefined || value === null) return 'null'
  const gate = new Gate(limits, path, error)
  return gate.run(() => gate.copy(value, path)).text
}

/**
 * The value of a stored text: a fresh copy.
 *
 * @throws SyntaxError where it is no JSON, or holds what the gate never lets through: a `__proto__` key, which would
 * become a prototype in the first careless merge. Somebody else wrote it.
 */
export function decode (text: string): any {
  const value: unknown = JSON.parse(text)
  // An escape could spell the key in another way; our own texts hold few.
  if ((text.includes('__proto__') || text.includes('\\u')) && hasProtoKey(value)) throw new SyntaxError('The stored JSON holds a __proto__ key.')
  return value
}

/** The same, deeply frozen: for a text of our own, the value that {@link encodeArguments} gave with it. */
export function decodeFrozen (text: string): any {
  return freezeDeeply(decode(text))
}

function freezeDeeply (value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  for (const inner of Object.values(value)) freezeDeeply(inner)
  return Object.freeze(value)
}

function invalidArgument (path: string, reason: string): Error {
  return new INVALID_ARGUMENT(path, reason)
}

/** Thrown through the walk; becomes the caller's error at its edge, where the path is known. */
class Refusal {
  readonly reason: string

  constructor (reason: string) {
    this.reason = reason
  }
}

/**
 * One walk over one value. It reads each property once and builds a plain copy, so that what was checked is what is
 * stored, whatever getters and proxies say the second time. `#bytes` is a lower bound of the text's length, kept so
 * that a value far too large is refused after `maxBytes` of it and before anything of its size is allocated.
 */
class Gate {
  readonly #limits: JsonLimits
  readonly #root: string
  readonly #error: MakeError
  readonly #keys: Array<string | number> = []
  readonly #open: object[] = []
  #bytes = 0

  constructor (limits: JsonLimits, root: string, error: MakeError) {
    this.#limits = limits
    this.#root = root
    this.#error = error
  }

  run<T> (walk: () => T): { text: string, value: T } {
    let value: T
    try {
      value = walk()
    } catch (error) {
      const large = error === TOO_LARGE
      const reason = large ? tooLarge(this.#limits.maxBytes) : error instanceof Refusal ? error.reason : UNREADABLE
      throw this.#error(large ? this.#root : pathOf(this.#root, this.#keys), reason)
    }
    const text = JSON.stringify(value)
    // A UTF-16 unit takes at most three bytes, so that most texts need no count.
    const { maxBytes } = this.#limits
    if (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes) throw this.#error(this.#root, tooLarge(maxBytes))
    return { text, value }
  }

  copy (value: unknown, key: string | number): unknown {
    switch (typeof value) {
      case 'string':
        this.#count(value.length + 2)
        return value
      case 'number':
        if (!Number.isFinite(value)) this.#refuse(value, key)
        this.#count(1)
        return value === 0 ? 0 : value
      case 'boolean':
        this.#count(4)
        return value
      case 'object':
        if (value !== null) return this.#enter(value)
        this.#count(4)
        return null
      default:
        return this.#refuse(value, key)
    }
  }

  /** The list of arguments itself is not counted as a level. */
  list (list: readonly unknown[], length: number): readonly unknown[] {
    this.#count(length + 1)
    const copy: unknown[] = []
    for (let index = 0; index < length; index++) {
      this.#keys.push(index)
      copy.push(this.copy(list[index], index))
      this.#keys.pop()
    }
    return Object.freeze(copy)
  }

  #enter (value: object): unknown {
    if (this.#open.includes(value)) throw new Refusal('it contains itself. Pass an id in place of the inner one.')
    if (this.#open.length >= this.#limits.maxDepth) throw new Refusal(tooDeep(this.#limits.maxDepth))
    this.#open.push(value)
    const copy = Array.isArray(value) ? this.#array(value) : this.#object(value)
    this.#open.pop()
    return copy
  }

  #array (value: readonly unknown[]): readonly unknown[] {
    if (!isArrayPrototype(Object.getPrototypeOf(value))) this.#refuse(value)
    const { length } = value
    if (length > this.#limits.maxBytes) throw TOO_LARGE // before the keys are listed: an array may claim four billion elements
    if (Reflect.ownKeys(value).length !== length + 1) throw new Refusal(this.#irregular(value, length))
    return this.list(value, length)
  }

  #object (value: object): object {
    const prototype: unknown = Object.getPrototypeOf(value)
    if (prototype !== null && prototype !== Object.prototype && !isPlainPrototype(prototype as object)) this.#refuse(value)
    const keys = Object.keys(value)
    // Asked separately, because V8 answers each of these from the object's shape, and Reflect.ownKeys not.
    if (Object.getOwnPropertyNames(value).length !== keys.length || Object.getOwnPropertySymbols(value).length > 0) throw new Refusal(this.#hidden(value, keys))
    if (keys.length === 0 && isDisguised(value)) this.#refuse(value)
    const copy: Record<string, unknown> = {}
    this.#count(2)
    for (const key of keys) {
      this.#keys.push(key)
      if (key === '__proto__') throw new Refusal('a key named __proto__ would change a prototype. Rename it.')
      const property = (value as Record<string, unknown>)[key]
      if (property !== undefined) {
        this.#count(key.length + 3)
        const inner = this.copy(property, key)
        // A name that Object.prototype has (`toString`) may be read-only there, which an assignment would trip over.
        if (key in copy) Object.defineProperty(copy, key, { value: inner, enumerable: true })
        else copy[key] = inner
      }
      this.#keys.pop()
    }
    return Object.freeze(copy)
  }

  #irregular (value: readonly unknown[], length: number): string {
    for (let index = 0; index < length; index++) {
      if (Object.hasOwn(value, index)) continue
      this.#keys.push(index)
      return 'the array has a hole here. Pass null instead.'
    }
    return this.#hidden(value, Object.keys(value).slice(0, length))
  }

  /** Says which property a JSON text would lose, and leaves the path at it. */
  #hidden (value: object, visible: readonly string[]): string {
    const seen = new Set<string | symbol>(visible)
    const lost = Reflect.ownKeys(value).find((key) => !seen.has(key) && !(key === 'length' && Array.isArray(value)))
    if (typeof lost === 'symbol') return 'it has a symbol as a key. Use strings as keys.'
    if (lost !== undefined) this.#keys.push(lost)
    return Array.isArray(value) ? 'an array cannot keep a named property. Pass an object.' : 'it is not enumerable and would be lost. Pass a copy without it.'
  }

  #count (bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.#limits.maxBytes) throw TOO_LARGE
  }

  #refuse (value: unknown, key?: string | number): never {
    throw new Refusal(refusal(value, typeof key === 'number'))
  }
}

const TOO_LARGE = new Refusal('')

/** Array.prototype of any realm is an array itself, which the prototype of a subclass is not. */
function isArrayPrototype (prototype: unknown): boolean {
  return prototype === Array.prototype || (Array.isArray(prototype) && prototype.length === 0 && !types.isProxy(prototype))
}

/**
 * Object.prototype of any realm, or an empty object without a prototype: what Fastify's query parser and router make
 * their fast dictionaries with. Anything else is a class, or lends properties that a copy would lack.
 */
function isPlainPrototype (prototype: object): boolean {
  if (Object.getPrototypeOf(prototype) !== null) return false
  const own = Reflect.ownKeys(prototype)
  if (own.length === 0) return true
  return Object.hasOwn(prototype, 'hasOwnProperty') && Object.hasOwn(prototype, 'isPrototypeOf') && Object.hasOwn(prototype, 'constructor')
}

function hasProtoKey (value: unknown): boolean {
  const open: unknown[] = [value] // no recursion: a stored text may nest deeper than the stack
  while (open.length > 0) {
    const next = open.pop()
    if (typeof next !== 'object' || next === null) continue
    if (Object.hasOwn(next, '__proto__')) return true
    for (const inner of Object.values(next)) open.push(inner)
  }
  return false
}
