import { createRequire } from 'node:module'
import type { Knex } from 'knex'

const require = createRequire(import.meta.url)

/** Knex, loaded by the first store: a supervisor, `--help` and an app with other backends boot without it, in half the CPU time. */
export function newKnex (config: Knex.Config): Knex {
  return (require('knex') as (config: Knex.Config) => Knex)(config)
}
