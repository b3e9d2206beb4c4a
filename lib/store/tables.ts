import { INVALID_CONFIG } from '../core/errors.js'
import { TABLE_PREFIX } from '../core/limits.js'

/** The tables' names, quoted and qualified, ready to stand in SQL. */
export interface Tables {
  readonly schema: string | undefined
  readonly prefix: string
  readonly results: string
  readonly workers: string
  readonly claims: string
  readonly queues: string
  readonly cancels: string
  readonly waits: string
  readonly tags: string
  readonly limits: string
  readonly returned: string
  readonly meta: string
  /** Unquoted, for Knex's migrator. */
  readonly migrations: string
  /** The bare name of an index. */
  index (name: string): string
}

// 40 characters leave room for the longest name within PostgreSQL's 63.
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]{0,39}$/
const SCHEMA = /^[A-Za-z_][A-Za-z0-9_]{0,62}$/

/** @throws FST_TASKS_INVALID_CONFIG for a schema or prefix that is not a plain identifier */
export function tableNames (schema: string | undefined, prefix: string = TABLE_PREFIX): Tables {
  if (!IDENTIFIER.test(prefix)) throw new INVALID_CONFIG('tablePrefix (TASKS_TABLE_PREFIX)', 'it must be 1 to 40 letters, digits and _, and not begin with a digit')
  if (schema !== undefined && !SCHEMA.test(schema)) throw new INVALID_CONFIG('schema (TASKS_SCHEMA)', 'it must be 1 to 63 letters, digits and _, and not begin with a digit')
  const table = (name: string): string => `${schema === undefined ? '' : `"${schema}".`}"${prefix}${name}"`
  return Object.freeze({
    schema,
    prefix,
    results: table('results'),
    workers: table('workers'),
    claims: table('claims'),
    queues: table('queues'),
    cancels: table('cancels'),
    waits: table('waits'),
    tags: table('tags'),
    limits: table('limits'),
    returned: table('returned'),
    meta: table('meta'),
    migrations: `${prefix}migrations`,
    index: (name: string) => `"${prefix}${name}"`
  })
}
