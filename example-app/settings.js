// @ts-check
import { fileURLToPath } from 'node:url'

/**
 * @typedef {object} Settings
 * @property {string} databaseUrl `sqlite:PATH` or `postgres://…`: the site's own tables and the tasks live there together
 * @property {string} smtpUrl where mail is handed over
 * @property {string} subscribersFile a `name,email` file that fills an empty subscribers table
 * @property {number} copyEvery milliseconds between the ten copies of a note, so that a person can delete it meanwhile
 * @property {string} logLevel a pino level, or `silent`
 */

/**
 * What the site needs to know, from `options` first and from the environment where they are silent.
 *
 * @param {Partial<Settings>} [options]
 * @returns {Settings}
 */
export function readSettings (options = {}) {
  const env = process.env
  return {
    databaseUrl: options.databaseUrl ?? env['TASKS_DATABASE_URL'] ?? 'sqlite:./example-app.sqlite3',
    smtpUrl: options.smtpUrl ?? env['SITE_SMTP_URL'] ?? 'smtp://127.0.0.1:2525',
    subscribersFile: options.subscribersFile ?? env['SITE_SUBSCRIBERS_FILE'] ?? fileURLToPath(new URL('./data/subscribers.csv', import.meta.url)),
    copyEvery: options.copyEvery ?? Number(env['SITE_COPY_EVERY'] ?? 1000),
    logLevel: options.logLevel ?? env['LOG_LEVEL'] ?? 'info'
  }
}
