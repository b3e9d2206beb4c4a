import type { BaseTaskBackend } from '../backends/base.js'
import type { DatabaseBackend } from '../backends/database.js'
import { INVALID_OPTION } from '../core/errors.js'

/** The database backend of an alias. Told by what it has, so that another copy of the package serves as well. */
export function databaseBackend (alias: string, backend: BaseTaskBackend<any>): DatabaseBackend {
  if (!('store' in backend)) throw new INVALID_OPTION('backend', `'${alias}' is no database backend: there is nothing in it for a worker to run`)
  return backend as unknown as DatabaseBackend
}
