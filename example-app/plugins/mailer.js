// @ts-check
import fp from 'fastify-plugin'
import { createTransport } from 'nodemailer'

/** Decorates the app with `mailer`: a few connections to the SMTP server, opened with the first mail. */
export default fp(async (app) => {
  const mailer = createTransport(
    {
      url: app.settings.smtpUrl,
      pool: true,
      maxConnections: 5,
      connectionTimeout: 10_000,
      socketTimeout: 30_000,
      disableFileAccess: true,
      disableUrlAccess: true
    },
    { from: { name: 'Small Press', address: 'news@example.com' } }
  )
  app.decorate('mailer', mailer)
  app.addHook('onClose', async () => { mailer.close() })
}, { name: 'mailer' })
