import { BACKEND_NAMES, type BackendName, type BackendOptions, type BackendSettings } from '../lib/backends/backends.js'
import { BaseTaskBackend } from '../lib/backends/base.js'
import { INVALID_BACKEND, INVALID_CONFIG } from '../lib/core/errors.js'
import { ALIAS_PATTERN, QUEUE_NAME_PATTERN } from '../lib/core/limits.js'
import { parseUrl } from '../lib/store/config.js'
import { isObject, parseBoolean, refuseUnknown } from './checks.js'
import type { Environment } from './environment.js'

const FIELDS = ['backend', 'url', 'knex', 'schema', 'tablePrefix', 'queues', 'options']
const DATABASE_FIELDS = ['url', 'knex', 'schema', 'tablePrefix'] as const
const DEFAULT_URL = 'sqlite:./tasks.sqlite3'
// As lib/store/tables.ts has them; asked here as well, because only here the variable's name is known.
const SCHEMA_LENGTH_MAX = 63
const PREFIX_LENGTH_MAX = 40
const QUEUE_RULE = 'must be 1 to 128 characters of letters, digits, _ . : -'

/**
 * The backends by alias: those in code, else those of `TASKS_BACKENDS`; `default` from the other variables where neither
 * has it. What a database entry leaves open (url, schema, prefix, migrate) comes from the variables as well.
 *
 * @throws FST_TASKS_INVALID_CONFIG, FST_TASKS_INVALID_BACKEND
 */
export function checkBackends (given: unknown, env: Environment): { backends: ReadonlyMap<string, BackendSettings>, immediateByDefault: boolean } {
  const backends = new Map<string, BackendSettings>()
  const inCode = checkAliases(given ?? {}, 'backends')
  const inEnvironment = env.TASKS_BACKENDS === undefined ? [] : checkAliases(parseJson(env.TASKS_BACKENDS), 'TASKS_BACKENDS')
  const variables = readVariables(env)
  const merged = new Map([['default', { name: 'backends.default', options: {} as BackendOptions }], ...inEnvironment, ...inCode])
  for (const [alias, { name, options }] of merged) {
    backends.set(alias, complete(options, name, alias === 'default' ? variables : { ...variables, kind: undefined, queues: undefined }))
  }
  const { backend } = merged.get('default')?.options ?? {}
  return { backends, immediateByDefault: backends.get('default')?.backend === 'immediate' && backend === undefined && variables.kind === undefined }
}

interface Variables {
  kind: BackendName | undefined
  url: string | undefined
  schema: string | undefined
  tablePrefix: string | undefined
  migrate: boolean | undefined
  queues: string[] | undefined
}

type Named = [alias: string, entry: { name: string, options: BackendOptions }]

function readVariables (env: Environment): Variables {
  const { TASKS_BACKEND: kind, TASKS_DATABASE_URL: url, TASKS_QUEUES: queues, TASKS_MIGRATE: migrate } = env
  // The value is not repeated: whoever puts the URL into the wrong variable should not find it in a log.
  if (kind !== undefined && !BACKEND_NAMES.includes(kind as BackendName)) throw new INVALID_BACKEND(`TASKS_BACKEND must be ${BACKEND_NAMES.join(', ')}.`)
  if (url !== undefined) parseUrl(url, 'TASKS_DATABASE_URL')
  const names = queues?.split(',').map((name) => name.trim())
  if (names?.some((name) => !QUEUE_NAME_PATTERN.test(name)) === true) throw new INVALID_CONFIG('TASKS_QUEUES', `each of its names, with commas between them, ${QUEUE_RULE}.`)
  return {
    kind: kind as BackendName | undefined,
    url,
    schema: checkIdentifier(env.TASKS_SCHEMA, 'TASKS_SCHEMA', SCHEMA_LENGTH_MAX),
    tablePrefix: checkIdentifier(env.TASKS_TABLE_PREFIX, 'TASKS_TABLE_PREFIX', PREFIX_LENGTH_MAX),
    migrate: migrate === undefined ? undefined : parseBoolean(migrate, 'TASKS_MIGRATE'),
    queues: names
  }
}

function checkAliases (given: unknown, name: string): Named[] {
  if (!isObject(given)) throw new INVALID_CONFIG(name, 'it must be an object of backends by their aliases.')
  return Object.entries(given).filter(([, options]) => options !== undefined).map(([alias, options]) => {
    if (!ALIAS_PATTERN.test(alias)) throw new INVALID_CONFIG(name, 'an alias must be 1 to 64 characters of letters, digits, _ . : -')
    const path = `${name}.${alias}`
    if (!isObject(options)) throw new INVALID_CONFIG(path, 'it must be an object: { backend, url, queues, options }.')
    refuseUnknown(options, FIELDS, path, `${path}.`)
    return [alias, { name: path, options: options as BackendOptions }]
  })
}

function complete (options: BackendOptions, name: string, variables: Variables): BackendSettings {
  const backend = checkKind(options, name, variables)
  const queues = checkQueues(options.queues, `${name}.queues`) ?? variables.queues
  if (options.options !== undefined && !isObject(options.options)) throw new INVALID_CONFIG(`${name}.options`, 'it must be an object.')
  if (backend !== 'database') {
    const field = typeof backend === 'string' ? DATABASE_FIELDS.find((field) => options[field] !== undefined) : undefined
    if (field !== undefined) throw new INVALID_CONFIG(`${name}.${field}`, `it belongs to a database backend, and this one is '${String(backend)}'.`)
    return Object.freeze({ ...options, backend, queues })
  }
  const { knex } = options
  if (knex !== undefined && (typeof knex !== 'function' || !isObject((knex as { client?: unknown }).client))) throw new INVALID_CONFIG(`${name}.knex`, 'it must be a Knex instance.')
  if (knex !== undefined && options.url !== undefined) throw new INVALID_CONFIG(`${name}.url`, 'say either url or knex.')
  const url = knex !== undefined ? undefined : options.url ?? variables.url ?? DEFAULT_URL
  if (url !== undefined) checkUrl(url, `${name}.url`)
  // TASKS_SCHEMA goes with TASKS_DATABASE_URL: a SQLite file that is named beside it has none.
  const isOwnFile = options.url?.startsWith('sqlite:') === true
  const { migrate = variables.migrate, ...others } = (options.options ?? {}) as { migrate?: unknown }
  return Object.freeze({
    backend,
    url,
    knex,
    schema: checkIdentifier(options.schema, `${name}.schema`, SCHEMA_LENGTH_MAX) ?? (isOwnFile ? undefined : variables.schema),
    tablePrefix: checkIdentifier(options.tablePrefix, `${name}.tablePrefix`, PREFIX_LENGTH_MAX) ?? variables.tablePrefix,
    queues,
    options: { ...others, ...(migrate !== undefined && { migrate }) }
  })
}

function checkKind ({ backend, url, knex }: BackendOptions, name: string, { kind, url: urlVariable }: Variables): BackendSettings['backend'] {
  if (backend === undefined) {
    if (url !== undefined || knex !== undefined) return 'database'
    if (kind !== undefined) return kind
    if (name.endsWith('.default')) return urlVariable === undefined ? 'immediate' : 'database'
    throw new INVALID_BACKEND(`${name}.backend is missing: say ${BACKEND_NAMES.join(', ')} or a class.`)
  }
  if (typeof backend === 'function') {
    if (backend.prototype instanceof BaseTaskBackend) return backend
    throw new INVALID_BACKEND(`${name}.backend does not extend BaseTaskBackend.`)
  }
  if (BACKEND_NAMES.includes(backend)) return backend
  throw new INVALID_BACKEND(`${name}.backend must be ${BACKEND_NAMES.join(', ')} or a class that extends BaseTaskBackend.`)
}

function checkQueues (queues: unknown, name: string): BackendOptions['queues'] {
  if (queues === undefined || queues === null) return undefined
  if (!Array.isArray(queues) && !isObject(queues)) throw new INVALID_CONFIG(name, 'it must be a list of names or { [name]: { maxReady } }.')
  for (const queue of Array.isArray(queues) ? queues : Object.keys(queues)) {
    if (typeof queue !== 'string' || !QUEUE_NAME_PATTERN.test(queue)) throw new INVALID_CONFIG(name, `each name ${QUEUE_RULE}.`)
  }
  return queues as BackendOptions['queues']
}

function checkUrl (url: unknown, name: string): void {
  if (typeof url !== 'string') throw new INVALID_CONFIG(name, 'it must be a string.')
  parseUrl(url, name)
}

function checkIdentifier (value: unknown, name: string, length: number): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string' || value.length > length || !/^[A-Za-z_]\w*$/.test(value)) throw new INVALID_CONFIG(name, `it must be 1 to ${length} letters, digits and _, and not begin with a digit.`)
  return value
}

function parseJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's message would repeat a piece of the text, which may hold a password.
    throw new INVALID_CONFIG('TASKS_BACKENDS', 'it is not JSON.')
  }
}
