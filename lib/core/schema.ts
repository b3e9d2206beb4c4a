import { Ajv, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { AnyTask } from './task.js'
import { optionsOf } from './task.js'
import { INVALID_ARGUMENT, INVALID_SCHEMA, INVALID_TASK } from './errors.js'

/**
 * Refuse arguments that do not match the task's `schema`, at the enqueue. A task without one accepts any.
 * @throws FST_TASKS_INVALID_ARGUMENT, which names the path
 */
export function checkArguments (task: AnyTask, args: readonly unknown[]): void {
  const failure = mismatch(task, args)
  if (failure !== null) throw new INVALID_ARGUMENT(failure.path, `it ${failure.rule}, says the schema of task '${task.name}'.`)
}

/**
 * The same before the run: the row may have been stored by an older version of the app.
 * @throws FST_TASKS_INVALID_SCHEMA
 */
export function checkStoredArguments (task: AnyTask, args: readonly unknown[]): void {
  const failure = mismatch(task, args)
  if (failure !== null) throw new INVALID_SCHEMA(task.name, `${failure.path} ${failure.rule}.`)
}

/**
 * Compile the task's schema, so that a schema that is none stops the registration and not the first enqueue.
 * @throws FST_TASKS_INVALID_TASK
 */
export function checkSchema (task: AnyTask): void {
  validatorOf(task)
}

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

const compiled = new WeakMap<object, ValidateFunction>()
let draft7: Ajv | undefined
let draft2019: Ajv2019 | undefined
let draft2020: Ajv2020 | undefined

function validatorOf (task: AnyTask): ValidateFunction | null {
  const { schema } = optionsOf(task)
  if (schema === null) return null
  const known = compiled.get(schema)
  if (known !== undefined) return known
  let validate: ValidateFunction
  try {
    validate = compilerFor(schema).compile(schema)
  } catch (error) {
    throw new INVALID_TASK(task.name, `its schema cannot be compiled: ${(error as Error).message}.`)
  }
  if ('$async' in validate) throw new INVALID_TASK(task.name, 'its schema is asynchronous ($async), which is not supported.')
  compiled.set(schema, validate)
  return validate
}

/** Tuples are `items` up to draft 7, and `prefixItems` since 2020-12. */
function compilerFor (schema: object): Ajv {
  const { $schema } = schema as { $schema?: unknown }
  const isNew = 'prefixItems' in schema || (typeof $schema === 'string' && $schema.includes('2020-12'))
  if (isNew) return (draft2020 ??= withFormats(new Ajv2020(OPTIONS)))
  if (typeof $schema === 'string' && $schema.includes('2019-09')) return (draft2019 ??= withFormats(new Ajv2019(OPTIONS)))
  return (draft7 ??= withFormats(new Ajv(OPTIONS)))
}

function withFormats<Compiler extends Ajv> (ajv: Compiler): Compiler {
  formats.default(ajv)
  return ajv
}

function mismatch (task: AnyTask, args: readonly unknown[]): { path: string, rule: string } | null {
  const validate = validatorOf(task)
  if (validate === null || validate(args)) return null
  const [error] = validate.errors as [ErrorObject, ...ErrorObject[]]
  return { path: pathOf(error.instancePath), rule: ruleOf(error) }
}

/** A JSON pointer as one would write it: `/0/email` is `args[0].email`. */
function pathOf (pointer: string): string {
  const steps = pointer.split('/').slice(1).map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
  return steps.reduce((path, step) => {
    if (/^\d+$/.test(step)) return `${path}[${step}]`
    return /^[A-Za-z_$][\w$]*$/.test(step) ? `${path}.${step}` : `${path}[${JSON.stringify(step)}]`
  }, 'args')
}

/** Ajv's messages say what the schema wants and never what the value was. */
function ruleOf ({ message, keyword, params }: ErrorObject): string {
  if (keyword === 'enum') return `must be one of ${JSON.stringify((params as { allowedValues: unknown }).allowedValues)}`
  return message ?? `must pass "${keyword}"`
}
