import type { Knex } from 'knex'
import type { ColumnType, Dialect, LeaseClock } from './dialect.js'
import type { Send } from '../session.js'
import { DATABASE_VERSION } from '../../core/errors.js'
import { SQLITE_VERSION_MIN } from '../../core/limits.js'

// Rounded: the product of a fraction of seconds and 1000 may fall a hair below the millisecond it stands for.
const NOW = "(SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER))"
const REBOOT_MS = 60_000

/** SQLite, through `sqlite3` or `better-sqlite3`. */
export const sqlite: Dialect = Object.freeze({
  name: 'sqlite',
  now: NOW,
  leaseClock,
  writesInCtes: false,
  singleWriter: true,
  deadEntries: false,
  skipLocked: '',

  isIn: (column: string) => `${column} IN (SELECT value FROM json_each(?))`,
  list: (values: readonly unknown[]) => JSON.stringify(values),
  isAmong: (column: string, query: string) => `${column} IN (${query})`,

  rows (columns: ReadonlyArray<readonly [name: string, type: ColumnType]>) {
    const fields = columns.map(([name], index) => `json_extract(value, '$[${index}]') AS ${name}`).join(', ')
    return {
      sql: `(SELECT ${fields}, key AS ord FROM json_each(?))`,
      bind: (rows: ReadonlyArray<readonly unknown[]>) => [JSON.stringify(rows)]
    }
  },

  // The members of an object come in their order, ready to use: no path is looked up for each. Its text is put together
  // here, because an object with a thousand keys that were never seen before is what JavaScript is slow at.
  pairs: (id: string, text: string) => ({
    sql: `(SELECT key AS ${id}, value AS ${text} FROM json_each(?))`,
    bind: (ids: readonly string[], texts: readonly string[]) => {
      let members = ''
      for (let index = 0; index < ids.length; index++) members += `${index > 0 ? ',' : ''}"${ids[index]}":${JSON.stringify(texts[index])}`
      return [`{${members}}`]
    }
  }),

  value: () => '?', // nothing is planned for values here

  elements: (column: string) => ({ from: `json_each(${column}) AS e`, id: 'e.value' }),
  lookUp: (table: string) => `CROSS JOIN ${table} r WHERE r.id = c.id`, // a CROSS JOIN is done in the order in which it stands
  jsonObject: (entries: ReadonlyArray<readonly [string, string]>) => `json_object(${entries.map(([key, sql]) => `'${key}', ${sql}`).join(', ')})`,
  room: (text: string, max: number) => `CASE WHEN json_array_length(${text}) >= ${max} THEN json_remove(${text}, '$[0]') ELSE ${text} END`,
  idList: (ids: readonly string[]) => JSON.stringify(ids),
  idsOf: (value: unknown) => JSON.parse(value as string) as string[],
  ids: (id: string, order: string) => `json_group_array(${id} ORDER BY ${order})`,
  dropLast: (text: string) => `substr(${text}, 1, length(${text}) - 1)`,

  async checkVersion (send: Send) {
    const [row] = await send('SELECT sqlite_version() AS version')
    const version = String(row?.['version'] ?? '0')
    if (isOlder(version, SQLITE_VERSION_MIN)) {
      throw new DATABASE_VERSION(`SQLite ${version} can corrupt a database that several connections write (fixed in ${SQLITE_VERSION_MIN}). Upgrade the driver: sqlite3 6 or later, better-sqlite3 12.8 or later.`)
    }
  },

  async lockMigrations (trx: Knex.Transaction) {
    // Any write takes SQLite's only write lock, which the transaction then keeps; there is no table yet to write to.
    await trx.raw('CREATE TABLE "fastify_tasks_lock" (name TEXT)')
    await trx.raw('DROP TABLE "fastify_tasks_lock"')
  },

  openShort: '', // one writer sees all; and no server: the lock is the process's own, and a stopped one keeps it
  // An UPDATE that matches nothing takes the write lock all the same. Knex begins with a plain BEGIN, so that a
  // transaction which reads first and writes later could be refused (SQLITE_BUSY_SNAPSHOT) however long it waits.
  beginWrite: (table: string) => `UPDATE ${table} SET name = name WHERE 0`,
  rowsOf: (result: unknown) => Array.isArray(result) ? result as Array<Record<string, unknown>> : [],
  tuple: (columns: readonly string[]) => `json_array(${columns.join(', ')}) AS tuple`,
  tuples: (columns: readonly string[]) => `json_group_array(json_array(${columns.join(', ')})) AS tuples`,
  tuplesOf: (result: unknown) => (result as Array<{ tuple: string, tuples?: string }>).flatMap(({ tuple, tuples }) => JSON.parse(tuples ?? `[${tuple}]`) as unknown[][]),
  tupleOptions: Object.freeze({}),
  estimate: async () => null
} satisfies Dialect)

/**
 * The host's monotonic clock, as this process reads it when it sends the statement. It begins anew when the host does: a
 * lease that was taken later than now, by it, and is over by the date, is from before that. (Both: the statement may have
 * waited since it was sent, and the date may have jumped.)
 */
function leaseClock (): LeaseClock {
  const now = Number(process.hrtime.bigint() / 1_000_000n)
  return {
    now: '?',
    bound: [now],
    expired: (worker: string) => `(${worker}.lease_until <= ? OR (${worker}.lease_until - ${worker}.lease_ms > ? AND ${worker}.last_seen + ${worker}.lease_ms <= ${NOW}))`,
    expiredBound: [now, now + REBOOT_MS]
  }
}

function isOlder (version: string, minimum: string): boolean {
  const [a, b] = [version, minimum].map((text) => text.split('.').map(Number))
  for (let index = 0; index < 3; index++) {
    const difference = (a?.[index] ?? 0) - (b?.[index] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}
