// @ts-check
import { answer, conflict, idParams, notFound } from '../plugins/web.js'
import { mailPage } from '../tasks/mail.js'

const newPage = {
  type: 'object',
  required: ['title', 'body'],
  properties: { title: { type: 'string', minLength: 1, maxLength: 200 }, body: { type: 'string', minLength: 1, maxLength: 20_000 } }
}

/** @param {import('fastify').FastifyInstance} app */
export default async function pages (app) {
  app.post('/pages', { schema: { body: newPage } }, async (request, reply) => {
    const { title, body } = /** @type {{ title: string, body: string }} */ (request.body)
    const [page] = await app.knex('pages').insert({ title, body }, ['id'])
    return await answer(request, reply, 201, { id: page.id })
  })

  app.post('/pages/:id/publish', { schema: { params: idParams } }, async (request, reply) => {
    const id = idOf(request)
    const mails = await app.knex.transaction(async (trx) => await publish(trx, id))
    return await answer(request, reply, 202, { id, mails })
  })

  /**
   * The page, its deliveries and its mail tasks are one transaction: all are there, or none, and no worker sees a task
   * before the page is published.
   *
   * @param {import('knex').Knex.Transaction} trx
   * @param {number} id
   */
  async function publish (trx, id) {
    // Of two clicks, one finds the page unpublished. On SQLite a transaction that will write had best begin with a
    // write: one that begins with a read fails where another process has written in between.
    const changed = await trx('pages').where({ id }).whereNull('published_at').update({ published_at: new Date() })
    if (changed === 0) await refuse(trx, id)
    await trx.raw('INSERT INTO deliveries (page_id, subscriber_id) SELECT ?, id FROM subscribers', [id])
    const subscribers = await trx('deliveries').where({ page_id: id }).orderBy('subscriber_id').pluck('subscriber_id')
    const mails = mailPage.using({ transaction: trx, tags: [`page:${id}`] })
    await app.tasks.enqueueMany(mails, subscribers.map((subscriberId) => [id, subscriberId]))
    return subscribers.length
  }

  app.post('/pages/:id/cancel', { schema: { params: idParams } }, async (request, reply) => {
    const cancelled = await app.tasks.cancel({ tag: `page:${idOf(request)}` })
    return await answer(request, reply, 200, { cancelled })
  })

  app.post('/pages/:id/retry', { schema: { params: idParams } }, async (request, reply) => {
    const retried = await app.tasks.retry({ tag: `page:${idOf(request)}` })
    return await answer(request, reply, 202, { retried })
  })
}

/**
 * @param {import('knex').Knex.Transaction} trx
 * @param {number} id
 */
async function refuse (trx, id) {
  const page = await trx('pages').where({ id }).first('id')
  throw page === undefined ? notFound(`There is no page ${id}.`) : conflict(`Page ${id} is published already.`)
}

/** @param {import('fastify').FastifyRequest} request */
function idOf (request) {
  return /** @type {{ id: number }} */ (request.params).id
}
