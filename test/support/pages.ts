import type { Knex } from 'knex'
import pg from 'pg'

/**
 * Pages that the statements of a call touch: each is explained once more, over the next rows, and taken back. `before` makes
 * that possible; as it is, the number of a claim is taken.
 */
export async function pagesOf (knex: Knex, call: () => Promise<void>, before = 'DELETE FROM tasks_claims'): Promise<number> {
  const sent: Sent[] = []
  const listen = ({ sql, bindings }: Sent): void => { sent.push({ sql, bindings }) }
  knex.on('query', listen)
  await call()
  knex.off('query', listen)
  const client = new pg.Client(knex.client.config.connection)
  await client.connect()
  let pages = 0
  try {
    for (const { sql, bindings } of sent.filter(({ sql }) => sql.includes('tasks_results'))) {
      await client.query('BEGIN')
      await client.query(before)
      const { rows: [row] } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${sql}`, [...bindings])
      const plan = row['QUERY PLAN'][0]['Plan']
      pages += Number(plan['Shared Hit Blocks']) + Number(plan['Shared Read Blocks'])
      await client.query('ROLLBACK')
    }
  } finally {
    await client.end()
  }
  return pages
}

/** A statement that a store sends, to be explained. */
export interface Sent { readonly sql: string, readonly bindings: readonly unknown[] }
