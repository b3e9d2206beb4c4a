// @ts-check
import fp from 'fastify-plugin'
import knex from 'knex'
import { createTables } from '../tables.js'

/** Decorates the app with `knex`, and creates the site's tables where they are missing. */
export default fp(async (app) => {
  const { databaseUrl, subscribersFile } = app.settings
  const db = connect(databaseUrl)
  app.decorate('knex', db)
  app.addHook('onClose', async () => { await db.destroy() })
  await createTables(db, subscribersFile)
}, { name: 'database' })

/**
 * @param {string} url
 * @returns {import('knex').Knex}
 */
export function connect (url) {
  if (!url.startsWith('sqlite:')) return knex({ client: 'pg', connection: url, pool: { min: 0, max: 10 } })
  return knex({
    client: 'sqlite3',
    connection: { filename: url.slice('sqlite:'.length) },
    useNullAsDefault: true,
    // SQLite has one writer a file; one connection lets the writers of this process queue in Knex.
    pool: { min: 1, max: 1, afterCreate: prepare }
  })
}

/**
 * WAL lets the server and the workers read while one of them writes; the timeout (ms) is how long a writer waits for
 * the writer of another process.
 *
 * @param {{ exec: (sql: string, done: (error: Error | null) => void) => void }} connection
 * @param {(error: Error | null, connection: unknown) => void} done
 */
function prepare (connection, done) {
  const sql = 'PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON'
  connection.exec(sql, (error) => { done(error, connection) })
}
