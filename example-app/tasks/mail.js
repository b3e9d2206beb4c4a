// @ts-check
import { FatalTaskError, task } from 'fastify-tasks'

/**
 * Mail one page to one subscriber.
 *
 * Trap, duplicate runs: sending is at-least-once; a worker that dies after the SMTP server has taken the mail and before the delivery is
 * written sends it again, because no transaction spans a database and a mail server. Three things keep that rare and
 * harmless: a delivery that is written is never sent again; the delivery and the end of the task are written together;
 * and both sendings carry the same Message-ID, by which the receiver can tell.
 */
export const mailPage = task('pages.mail', {
  takesContext: true,
  queueName: 'mail',
  priority: -10, // a thousand mails must not hold up a note that somebody is waiting for
  timeout: '1m',
  retry: { limit: 5, delay: '1s', maxDelay: '5m' }
}, async (context, /** @type {number} */ pageId, /** @type {number} */ subscriberId) => {
  const { knex, mailer } = context.app
  const mail = await knex('deliveries')
    .join('pages', 'pages.id', 'deliveries.page_id')
    .join('subscribers', 'subscribers.id', 'deliveries.subscriber_id')
    .where({ page_id: pageId, subscriber_id: subscriberId })
    .first('title', 'body', 'name', 'email', 'sent_at')
  if (mail === undefined) return 'not wanted any more'
  if (mail.sent_at !== null) return 'sent before'

  try {
    await mailer.sendMail({
      to: { name: mail.name, address: mail.email },
      subject: mail.title,
      text: `Hello ${mail.name},\n\n${mail.body}\n`,
      messageId: `<page-${pageId}-subscriber-${subscriberId}@example.com>`
    })
  } catch (error) {
    // Trap, unheard failures: what will not mend itself fails at once, with a reason that the page shows.
    throw isPermanent(error) ? new FatalTaskError(`The mail server refused ${mail.email}: ${replyOf(error)}`, { cause: error }) : error
  }
  return await context.transaction(async (trx) => {
    await trx('deliveries').where({ page_id: pageId, subscriber_id: subscriberId }).update({ sent_at: new Date() })
    return 'sent'
  })
})

/**
 * A reply from 500 on says that trying again is no use (RFC 5321, 4.2.1); all else, a server that is away too, is worth
 * the retries.
 *
 * @param {unknown} error
 */
function isPermanent (error) {
  return error instanceof Error && 'responseCode' in error && Number(error.responseCode) >= 500
}

/** @param {unknown} error */
function replyOf (error) {
  return error instanceof Error && 'response' in error ? String(error.response) : String(error)
}
