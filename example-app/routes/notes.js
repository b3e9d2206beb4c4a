// @ts-check
import { answer, idParams, notFound } from '../plugins/web.js'
import { copyNote } from '../tasks/notes.js'

const COPIES = 10

const newNote = {
  type: 'object',
  required: ['text'],
  properties: { text: { type: 'string', minLength: 1, maxLength: 500 } }
}

/** @param {import('fastify').FastifyInstance} app */
export default async function notes (app) {
  app.post('/notes', { schema: { body: newNote } }, async (request, reply) => {
    const { text } = /** @type {{ text: string }} */ (request.body)
    const [note] = await app.knex('notes').insert({ text }, ['id'])
    return await answer(request, reply, 201, { id: note.id })
  })

  // `transaction: true`: what the handler writes through request.tasks.transaction() and what it enqueues commit
  // together before the reply leaves, and are rolled back together where it throws.
  app.post('/notes/:id/copy', { schema: { params: idParams }, config: { tasks: { transaction: true } } }, async (request, reply) => {
    const id = idOf(request)
    const trx = await request.tasks.transaction()
    const note = await trx('notes').where({ id }).first('id')
    if (note === undefined) throw notFound(`Note ${id} is gone.`)
    for (let copy = 0; copy < COPIES; copy++) {
      const work = copyNote.using({ tags: [`note:${id}`], runAfter: copy * app.settings.copyEvery })
      request.tasks.enqueue(work, id)
    }
    return await answer(request, reply, 202, { id, copies: COPIES })
  })

  app.post('/notes/:id/delete', { schema: { params: idParams } }, async (request, reply) => {
    const id = idOf(request)
    const deleted = await app.knex('notes').where({ id }).delete()
    if (deleted === 0) throw notFound(`Note ${id} is gone.`)
    // Trap, conflicting operations: copies that have not begun are not wanted any more. One that is running, or that is missed where the server dies
    // before this line, finds no note and ends quietly.
    const cancelled = await app.tasks.cancel({ tag: `note:${id}` })
    return await answer(request, reply, 200, { id, cancelled })
  })
}

/** @param {import('fastify').FastifyRequest} request */
function idOf (request) {
  return /** @type {{ id: number }} */ (request.params).id
}
