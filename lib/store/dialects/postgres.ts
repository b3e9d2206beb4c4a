import type { Knex } from 'knex'
import { createHash, randomUUID } from 'node:crypto'
import type { ColumnType, Dialect, LeaseClock } from './dialect.js'
import type { Send } from '../session.js'
import { DATABASE_VERSION } from '../../core/errors.js'
import { POSTGRES_VERSION_MIN, SAMPLE_PAGES, TRANSACTION_IDLE_MS } from '../../core/limits.js'

// clock_timestamp, not now(): a transaction that is open for an hour must not write moments of an hour ago. As a
// sub-query it is evaluated once and can bound an index scan, which a volatile function cannot. floor, so that
// nothing is due half a millisecond early.
const NOW = '(SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)'
const LEASE_CLOCK: LeaseClock = Object.freeze({ now: NOW, bound: [], expired: (worker: string) => `${worker}.lease_until <= ${NOW}`, expiredBound: [] })

// Whatever the default of the database or role: at a stricter level what a statement waited for is not seen by the next.
const READ_COMMITTED = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED'

/** PostgreSQL 14 and later, through `pg`. */
export const postgres: Dialect = Object.freeze({
  name: 'postgres',
  now: NOW,
  leaseClock: () => LEASE_CLOCK,
  writesInCtes: true,
  singleWriter: false,
  deadEntries: true,
  skipLocked: 'FOR UPDATE SKIP LOCKED',

  // The second cast: ANY of a sub-query would compare with its rows.
  isIn: (column: string, type: ColumnType, sight?: 'unseen' | 'seen') => `${column} = ANY(${array(type, sight)}${sight === 'unseen' ? `::${TYPES[type]}[]` : ''})`,
  list: (values: readonly unknown[]) => [...values],
  isAmong: (column: string, query: string) => `${column} = ANY (ARRAY(${query}))`,

  rows (columns, sight) {
    const arrays = columns.map(([, type]) => array(type, sight)).join(', ')
    const names = columns.map(([name]) => name).join(', ')
    return {
      sql: `(SELECT ${names}, ordinality - 1 AS ord FROM unnest(${arrays}) WITH ORDINALITY AS source(${names}))`,
      bind: (rows) => columns.map(([, type], index) => arrayOf(type, rows.map((row) => row[index])))
    }
  },

  pairs: (id: string, text: string, sight: 'unseen' | 'seen') => ({
    sql: `(SELECT ${id}, ${text} FROM unnest(${array('uuid', sight)}, string_to_array(${value('text', sight)}, ${value('text', sight)})) AS source(${id}, ${text}))`,
    bind: (ids: readonly string[], texts: readonly string[]) => [`{${ids.join(',')}}`, ...joined(texts)]
  }),

  value,

  elements: (column: string) => ({ from: `LATERAL unnest(${column}) AS e (value)`, id: 'e.value' }),
  // LIMIT: else the planner may read the whole table to join it, once it thinks of many ids.
  lookUp: (table: string) => `CROSS JOIN LATERAL (SELECT * FROM ${table} y WHERE y.id = c.id LIMIT 1) AS r WHERE true`,
  jsonObject: (entries) => `json_build_object(${entries.map(([key, sql]) => `'${key}', ${sql}`).join(', ')})::text`,
  room: (text: string, max: number) => `CASE WHEN json_array_length(${text}::json) >= ${max} THEN (${text}::jsonb - 0)::text ELSE ${text} END`,
  ids: (id: string, order: string) => `array_agg(${id} ORDER BY ${order})`,
  idList: (ids: readonly string[]) => [...ids],
  idsOf: (value: unknown) => value as string[],
  dropLast: (text: string) => `left(${text}, -1)`,

  async checkVersion (send: Send) {
    const [row] = await send("SELECT current_setting('server_version_num')::int AS version")
    const version = Number(row?.['version'] ?? 0)
    if (version < POSTGRES_VERSION_MIN * 10_000) {
      throw new DATABASE_VERSION(`PostgreSQL ${Math.floor(version / 10_000)} is too old: fastify-tasks needs ${POSTGRES_VERSION_MIN} or later.`)
    }
  },

  async lockMigrations (trx: Knex.Transaction, key: string) {
    // An advisory lock of the transaction: it dies with the transaction and works behind a transaction pooler.
    await trx.raw(READ_COMMITTED)
    const number = createHash('sha256').update(`fastify-tasks:${key}`).digest().readBigInt64BE(0)
    await trx.raw('SELECT pg_advisory_xact_lock(?::bigint)', [String(number)])
  },

  beginWrite: () => '',
  openShort: `${READ_COMMITTED}; SET LOCAL idle_in_transaction_session_timeout = ${TRANSACTION_IDLE_MS}`,
  rowsOf: (result: unknown) => (result as { rows: Array<Record<string, unknown>> }).rows,
  tuple: (columns: readonly string[]) => columns.join(', '),
  tuples: (columns: readonly string[]) => columns.join(', '),
  tuplesOf: (result: unknown) => (result as { rows: unknown[][] }).rows,
  tupleOptions: Object.freeze({ rowMode: 'array' }),

  // A sample of pages, and not the planner's estimate: that knows nothing of what came since the last ANALYZE, which is
  // most of a table when somebody asks why its queue grows.
  async estimate (send: Send, table: string, condition: string, bindings: readonly unknown[]) {
    const [size] = await send("SELECT pg_relation_size(?::regclass) / current_setting('block_size')::bigint AS pages", [table])
    const percent = Math.min(100, 100 * SAMPLE_PAGES / Math.max(1, Number(size?.['pages'])))
    const [row] = await send(`SELECT count(*) AS found FROM ${table} r TABLESAMPLE SYSTEM (${percent}) WHERE ${condition}`, bindings)
    return Number(row?.['found']) * 100 / percent
  }
} satisfies Dialect)

function value (type: ColumnType, sight: 'unseen' | 'seen'): string {
  return sight === 'unseen' ? unseen(TYPES[type]) : '?'
}

// One text, which neither the driver nor the server has to look through for quotes. JSON has no line feed of its own; what
// a serializer makes may have.
function joined (texts: readonly string[]): [text: string, separator: string] {
  const separator = texts.some((text) => text.includes('\n')) ? `\n${randomUUID()}\n` : '\n'
  return [texts.join(separator), separator]
}

function array (type: ColumnType, sight?: 'unseen' | 'seen'): string {
  return sight === 'unseen' ? unseen(`${TYPES[type]}[]`) : `?::${TYPES[type]}[]`
}

// A sub-query is evaluated once, after the plan was made.
function unseen (type: string): string {
  return `(SELECT ?::${type})`
}

// As PostgreSQL writes it, where no element needs a quote: the driver looks at each for what it may have to escape.
function arrayOf (type: ColumnType, values: unknown[]): unknown {
  return type === 'text' ? values : `{${values.map((value) => value ?? 'NULL').join(',')}}`
}

const TYPES: Record<ColumnType, string> = { text: 'text', uuid: 'uuid', int: 'int', bigint: 'bigint', boolean: 'boolean' }
