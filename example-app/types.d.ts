import type { Knex } from 'knex'
import type { Transporter } from 'nodemailer'
import type { Settings } from './settings.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The site's database. */
    knex: Knex
    /** Hands mail to the SMTP server. */
    mailer: Transporter
    settings: Settings
  }
}
