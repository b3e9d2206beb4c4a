import { existsSync } from 'node:fs'
import { ALIAS_PATTERN, TABLE_PREFIX } from '../core/limits.js'
import { INVALID_BACKEND, INVALID_CONFIG } from '../core/errors.js'
import { MEMORY, parseUrl } from '../store/config.js'
import { tableNames } from '../store/tables.js'
import { CommandFailed, UsageError, type Flag, type FlagValues, type Terminal } from './command.js'
import { textFlag } from './values.js'

/** Where the task tables are, by the flags or else by the environment. */
export interface Database {
  readonly alias: string
  readonly url: string
  readonly schema: string | undefined
  readonly tablePrefix: string
}

export const DATABASE_FLAGS: Readonly<Record<string, Flag>> = {
  'database-url': { type: 'string', value: 'URL', help: 'sqlite:PATH or postgres://…. Default: TASKS_DATABASE_URL, else sqlite:./tasks.sqlite3. The environment keeps a password out of the process list.' },
  schema: { type: 'string', value: 'NAME', help: 'Schema of the tables (PostgreSQL). Default: TASKS_SCHEMA.' },
  'table-prefix': { type: 'string', value: 'PREFIX', help: `What the tables' names begin with. Default: TASKS_TABLE_PREFIX, else ${TABLE_PREFIX}.` },
  backend: { type: 'string', value: 'ALIAS', help: 'Alias of the backend, as in TASKS_BACKENDS. Default: default.' }
}

const DEFAULT_URL = 'sqlite:./tasks.sqlite3'

/** @throws UsageError for a flag, FST_TASKS_INVALID_CONFIG or FST_TASKS_INVALID_BACKEND for the environment */
export function databaseOf (flags: FlagValues, env: Terminal['env']): Database {
  const alias = textFlag(flags, 'backend', ALIAS_PATTERN, 'must be 1 to 64 characters of letters, digits, _ . : -') ?? 'default'
  const url = textFlag(flags, 'database-url')
  const schema = textFlag(flags, 'schema')
  const tablePrefix = textFlag(flags, 'table-prefix')
  usage(() => { if (url !== undefined) parseUrl(url, '--database-url') })
  usage(() => { tableNames(schema, tablePrefix) })
  const named = url === undefined ? aliasOf(alias, env) : {}
  const database = {
    alias,
    url: url ?? named.url ?? given(env['TASKS_DATABASE_URL']) ?? DEFAULT_URL,
    schema: schema ?? named.schema ?? given(env['TASKS_SCHEMA']),
    tablePrefix: tablePrefix ?? named.tablePrefix ?? given(env['TASKS_TABLE_PREFIX']) ?? TABLE_PREFIX
  }
  parseUrl(database.url, named.url === undefined ? 'TASKS_DATABASE_URL' : `TASKS_BACKENDS.${alias}.url`)
  return database
}

/** SQLite makes a file that is not there: a typo in the path would be an empty database and not an error. */
export function refuseMissingFile ({ url }: Database): void {
  const location = parseUrl(url)
  if (location.kind !== 'sqlite') return
  if (location.path === MEMORY) throw new UsageError('a database in memory is seen by its own process only.')
  if (existsSync(location.path)) return
  throw new CommandFailed(`there is no database file ${location.path}. Say where it is with --database-url, or make it: fastify-tasks migrate`)
}

/** What is wrong with a flag is wrong with the command line. */
function usage (check: () => void): void {
  try {
    check()
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

interface NamedBackend { backend?: unknown, url?: string, schema?: string, tablePrefix?: string }

/** What TASKS_BACKENDS says of an alias, or for `default` TASKS_BACKEND: as the plugin reads them. */
function aliasOf (alias: string, env: Terminal['env']): NamedBackend {
  const text = given(env['TASKS_BACKENDS'])
  const backends = text === undefined ? {} : parseBackends(text)
  const named = (Object.hasOwn(backends, alias) ? backends[alias] : undefined) as NamedBackend | undefined
  if (named === undefined && alias !== 'default' && text !== undefined) {
    throw new INVALID_BACKEND(`TASKS_BACKENDS has no backend '${alias}'; it has ${Object.keys(backends).join(', ')}. Say which database with --database-url.`)
  }
  const kind = alias === 'default' && named?.url === undefined ? given(env['TASKS_BACKEND']) : undefined
  checkKind(alias, named?.backend ?? kind ?? 'database')
  for (const field of ['url', 'schema', 'tablePrefix'] as const) {
    if (named?.[field] !== undefined && typeof named[field] !== 'string') throw new INVALID_CONFIG(`TASKS_BACKENDS.${alias}.${field}`, 'it must be a string.')
  }
  return named ?? {}
}

function checkKind (alias: string, kind: unknown): void {
  if (kind !== 'database') throw new INVALID_BACKEND(`Backend '${alias}' stores nothing in a database: there is nothing here for this command. Say which database with --database-url.`)
}

function parseBackends (text: string): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    // The parser's message would repeat a piece of the text, which may hold a password.
    throw new INVALID_CONFIG('TASKS_BACKENDS', 'it is not JSON.')
  }
  const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isObject(parsed) || !Object.values(parsed as object).every(isObject)) {
    throw new INVALID_CONFIG('TASKS_BACKENDS', 'it must be an object of backends by their aliases.')
  }
  return parsed as Record<string, unknown>
}

function given (value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value
}
