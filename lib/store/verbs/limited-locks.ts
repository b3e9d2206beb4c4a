import { createHash } from 'node:crypto'
import type { Session } from '../session.js'

/** Rows `name, lock`: the numbers of PostgreSQL's advisory locks for limits of these tables, in the order of their names. */
export function locksOf ({ dialect, tables, sight }: Session, backend: string, names: readonly string[]): { sql: string, bindings: readonly unknown[] } {
  const scope = `${tables.schema ?? ''}.${tables.prefix} ${backend}`
  const source = dialect.rows([['name', 'text'], ['lock', 'bigint']], sight)
  return { sql: source.sql, bindings: source.bind([...names].sort().map((name) => [name, lockOf(`${scope} ${name}`)])) }
}

function lockOf (text: string): string {
  return String(createHash('sha256').update(`fastify-tasks limit ${text}`).digest().readBigInt64BE(0))
}
