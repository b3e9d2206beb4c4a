import { createRequire } from 'node:module'
import type { Ajv, Options } from 'ajv'
import type formats from 'ajv-formats'

/** The compiler for the draft that a schema is written in: tuples are `items` up to draft 7, and `prefixItems` since 2020-12. */
export function compilerFor (schema: object): Ajv {
  const { $schema } = schema as { $schema?: unknown }
  const isNew = 'prefixItems' in schema || (typeof $schema === 'string' && $schema.includes('2020-12'))
  if (isNew) return (draft2020 ??= compiler(load<typeof import('ajv/dist/2020.js')>('ajv/dist/2020.js').Ajv2020))
  if (typeof $schema === 'string' && $schema.includes('2019-09')) return (draft2019 ??= compiler(load<typeof import('ajv/dist/2019.js')>('ajv/dist/2019.js').Ajv2019))
  return (draft7 ??= compiler(load<typeof import('ajv')>('ajv').Ajv))
}

// Loaded by the first schema: a supervisor, and an app whose tasks have none, boot without Ajv in 0.1 s less of CPU time.
const load = createRequire(import.meta.url) as <Module>(name: string) => Module

const OPTIONS: Options = {
  strict: false, // TypeBox and others add keywords of their own
  // Of what is left, Ajv warns of a format that it does not know: one that is misspelt would check nothing.
  logger: { log: () => {}, error: () => {}, warn: (message: string) => { throw new Error(message) } },
  // Arguments are checked and never changed: what was enqueued is what runs.
  coerceTypes: false,
  useDefaults: false,
  removeAdditional: false,
  addUsedSchema: false, // two tasks may use schemas of one $id
  allowUnionTypes: true
}

let draft7: Ajv | undefined
let draft2019: Ajv | undefined
let draft2020: Ajv | undefined

function compiler (Compiler: new (options: Options) => Ajv): Ajv {
  const ajv = new Compiler(OPTIONS)
  load<typeof formats>('ajv-formats').default(ajv)
  return ajv
}
