// @ts-check
import Fastify, { LogController } from 'fastify'
import fastifyTasks from 'fastify-tasks'
import { readSettings } from './settings.js'
import database from './plugins/database.js'
import mailer from './plugins/mailer.js'
import web from './plugins/web.js'
import { mailPage } from './tasks/mail.js'
import { recalculateScore } from './tasks/score.js'
import { copyNote } from './tasks/notes.js'
import pages from './routes/pages.js'
import orders from './routes/orders.js'
import notes from './routes/notes.js'
import home from './routes/home.js'

/**
 * The whole site, not listening. The server listens on it, the worker only boots it: so a task sees the same
 * database, mailer and settings as a route.
 *
 * @param {Partial<import('./settings.js').Settings>} [options]
 */
export function buildApp (options) {
  const settings = readSettings(options)
  const app = Fastify({
    logger: { level: settings.logLevel },
    logController: new LogController({ disableRequestLogging: true }) // the page asks twice a second
  })
  app.decorate('settings', settings)
  app.register(database)
  app.register(mailer)
  app.register(fastifyTasks, taskOptions)
  app.register(web)
  app.register(pages)
  app.register(orders)
  app.register(notes)
  app.register(home)
  return app
}

/**
 * The tasks share the site's Knex instance. So an enqueue can be part of one of the site's own transactions, and on
 * SQLite all writes of this process go over one connection, where they queue instead of blocking one another.
 *
 * @param {import('fastify').FastifyInstance} app
 * @returns {import('fastify-tasks').FastifyTasksOptions}
 */
function taskOptions (app) {
  return {
    backends: { default: { backend: 'database', knex: app.knex } },
    tasks: [mailPage, recalculateScore, copyNote]
  }
}
