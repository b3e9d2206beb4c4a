import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Knex } from 'knex'
import { INVALID_CONFIG } from '../core/errors.js'

/** Where a store lives. Of `url` and `knex` exactly one is given. */
export interface StoreConfig {
  /** `sqlite:PATH`, `sqlite::memory:` or `postgres://…`. */
  readonly url?: string | undefined
  /** An instance of the app's own: shared, and not closed. */
  readonly knex?: Knex | undefined
  readonly schema?: string | undefined
  /** `tasks_` unless said otherwise. */
  readonly tablePrefix?: string | undefined
  /** Create and upgrade the tables at open; true unless said otherwise. */
  readonly migrate?: boolean | undefined
  /** Take a connection of its own for LISTEN (PostgreSQL); true unless said otherwise. */
  readonly listen?: boolean | undefined
  /** What a call may take in all, in ms; 15,000 unless said otherwise. */
  readonly callTimeout?: number | undefined
}

export type Location =
  | { readonly kind: 'sqlite', readonly path: string }
  | { readonly kind: 'postgres', readonly url: string }

export const MEMORY = ':memory:'

/**
 * Read a database URL.
 * @param name - what to call it in an error, such as `TASKS_DATABASE_URL`
 * @throws FST_TASKS_INVALID_CONFIG; the message never repeats the URL, which may hold a password
 */
export function parseUrl (url: string, name = 'url'): Location {
  if (/^postgres(?:ql)?:\/\//.test(url)) {
    if (!URL.canParse(url)) throw new INVALID_CONFIG(name, 'it is not a valid postgres:// URL (special characters in the password must be percent-encoded)')
    return { kind: 'postgres', url }
  }
  const path = /^sqlite:(.*)$/s.exec(url)?.[1]
  if (path === undefined) throw new INVALID_CONFIG(name, 'it must begin with sqlite: or postgres://')
  if (path === '') throw new INVALID_CONFIG(name, 'it names no file: say sqlite:PATH, or sqlite::memory:')
  if (path === MEMORY) return { kind: 'sqlite', path }
  return { kind: 'sqlite', path: resolve(path.startsWith('///') ? fileURLToPath(`file:${path}`) : path.replace(/^\/\/(?=[^/])/, '')) }
}
