import { types } from 'node:util'

/**
 * The words of the JSON gate: why a value was refused and what to pass instead. They name kinds and classes, never the
 * value itself.
 */

/** Why this value does not survive JSON. `inArray`: an element, where even `undefined` cannot be left out. */
export function refusal (value: unknown, inArray: boolean): string {
  switch (typeof value) {
    case 'undefined': return inArray ? 'undefined cannot stand in a list. Pass null instead.' : 'it is undefined. Pass null instead.'
    case 'function': return 'it is a function. Pass an id or a name that the task can look up.'
    case 'symbol': return 'it is a symbol. Pass a string.'
    case 'bigint': return 'it is a bigint. Pass a string: String(value).'
    case 'number': return `${String(value)} is no JSON number. Pass null or a string.`
    default: return refusedObject(value as object)
  }
}

const REMEDIES: ReadonlyArray<readonly [is: (value: unknown) => boolean, reason: string]> = [
  [types.isDate, 'it is a Date. Pass an ISO string: date.toISOString().'],
  [types.isMap, 'it is a Map. Pass an array of entries: [...map].'],
  [types.isSet, 'it is a Set. Pass an array: [...set].'],
  [types.isArrayBufferView, 'it holds binary data. Pass a string (base64), or the id of where the data is kept.'],
  [types.isAnyArrayBuffer, 'it holds binary data. Pass a string (base64), or the id of where the data is kept.'],
  [types.isPromise, 'it is a promise. Await it first.'],
  [types.isRegExp, 'it is a RegExp. Pass its source as a string.'],
  [types.isNativeError, 'it is an Error. Pass its message.'],
  [types.isBoxedPrimitive, 'it is a boxed primitive. Pass the primitive: value.valueOf().']
]

/** True for a Date, Map … whose prototype was exchanged for a plain one: it looks empty and is not. */
export function isDisguised (value: object): boolean {
  return REMEDIES.some(([is]) => is(value))
}

function refusedObject (value: object): string {
  const remedy = REMEDIES.find(([is]) => is(value))
  if (remedy !== undefined) return remedy[1]
  const name = className(value)
  const what = name === '' ? 'it has a prototype of its own' : `it is an instance of ${name}`
  return `${what}. Pass an id, a string or a plain object.`
}

function className (value: object): string {
  try {
    const { constructor } = value
    const name: unknown = typeof constructor === 'function' ? constructor.name : ''
    return typeof name === 'string' && /^[\w$]{1,64}$/.test(name) && name !== 'Object' ? name : ''
  } catch {
    return ''
  }
}

export const UNREADABLE = 'reading it threw an error. Pass a plain object or array.'

export function tooDeep (maxDepth: number): string {
  return `it is nested deeper than ${maxDepth} arrays or objects. Pass something flatter, or an id.`
}

export function tooLarge (maxBytes: number): string {
  return `as JSON it is larger than ${maxBytes} bytes. Pass an id, and keep the data where the task can read it.`
}

const IDENTIFIER = /^[A-Za-z_$][\w$]*$/
const KEY_LENGTH_MAX = 64 // characters of a key in a message; keys may be data
const KEYS_MAX = 12 // steps of a path in a message: its two ends say more than its middle

/** A path as one would write it: `args[0].user["odd key"]`. */
export function pathOf (root: string, keys: ReadonlyArray<string | number>): string {
  const steps = keys.map(step)
  if (steps.length > KEYS_MAX) steps.splice(KEYS_MAX / 2, steps.length - KEYS_MAX, '…')
  return root + steps.join('')
}

function step (key: string | number): string {
  if (typeof key === 'number') return `[${key}]`
  const short = key.length > KEY_LENGTH_MAX ? `${key.slice(0, KEY_LENGTH_MAX)}…` : key
  return IDENTIFIER.test(short) ? `.${short}` : `[${JSON.stringify(short)}]`
}
