import { INVALID_CONFIG } from '../lib/core/errors.js'

export function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A mistyped option does nothing and says nothing, so none is accepted. @throws FST_TASKS_INVALID_CONFIG */
export function refuseUnknown (options: unknown, known: readonly string[], where: string, prefix = ''): void {
  if (!isObject(options)) throw new INVALID_CONFIG(where, 'it must be an object.')
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown !== undefined) throw new INVALID_CONFIG(`${prefix}${unknown}`, `it is no option; these are: ${known.join(', ')}.`)
}

/** @throws FST_TASKS_INVALID_CONFIG */
export function parseBoolean (text: string, name: string): boolean {
  if (/^(?:true|1|on|yes)$/i.test(text)) return true
  if (/^(?:false|0|off|no)$/i.test(text)) return false
  throw new INVALID_CONFIG(name, 'it must be true or false.')
}
