import type { ErrorObject, ValidateFunction } from 'ajv'
import { compilerFor } from './schema-compiler.js'
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

const compiled = new WeakMap<object, ValidateFunction>()

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
