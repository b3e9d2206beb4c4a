// @ts-check
import { overview } from '../overview.js'
import { answer, conflict, sendHtml } from '../plugins/web.js'
import { homePage, livePart } from '../views/home.js'

const workParams = { type: 'object', properties: { id: { type: 'string', maxLength: 64 } } }

/** @param {import('fastify').FastifyInstance} app */
export default async function home (app) {
  app.get('/', async (_request, reply) => await sendHtml(reply, homePage(await overview(app))))

  // The part of the page that changes, for the script that keeps it up to date.
  app.get('/live', async (_request, reply) => await sendHtml(reply, livePart(await overview(app))))

  // The same as JSON.
  app.get('/work', async (_request, reply) => await reply.header('cache-control', 'no-store').send(await overview(app)))

  app.post('/work/:id/retry', { schema: { params: workParams } }, async (request, reply) => {
    const result = await app.tasks.getResult(/** @type {{ id: string }} */ (request.params).id)
    if (!await result.retry()) throw conflict('Only work that failed or was cancelled can be put back.')
    return await answer(request, reply, 202, { id: result.id })
  })

  app.post('/work/:id/cancel', { schema: { params: workParams } }, async (request, reply) => {
    const result = await app.tasks.getResult(/** @type {{ id: string }} */ (request.params).id)
    if (!await result.cancel()) throw conflict('This work has ended already.')
    return await answer(request, reply, 200, { id: result.id })
  })
}
