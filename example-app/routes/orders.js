// @ts-check
import { answer, notFound } from '../plugins/web.js'
import { recalculateScore } from '../tasks/score.js'

const newOrder = {
  type: 'object',
  required: ['customer', 'amount'],
  properties: { customer: { type: 'integer', minimum: 1, maximum: 2_147_483_647 }, amount: { type: 'integer', minimum: 1, maximum: 1_000_000 } }
}

/** @param {import('fastify').FastifyInstance} app */
export default async function orders (app) {
  app.post('/orders', { schema: { body: newOrder } }, async (request, reply) => {
    const { customer, amount } = /** @type {{ customer: number, amount: number }} */ (request.body)
    const known = await app.knex('customers').where({ id: customer }).first('id')
    if (known === undefined) throw notFound(`There is no customer ${customer}.`)
    const [order] = await app.knex('orders').insert({ customer_id: customer, amount }, ['id'])
    // Leaves after the response. Were the server to die in between, the order is kept and the next one mends the score.
    // Trap, duplicate runs: under one key, ten orders at once wait as one task: while it is READY, it counts all of them.
    const work = recalculateScore.using({ tags: [`customer:${customer}`], uniqueKey: `customer:${customer}`, uniqueFor: 'ready' })
    const result = request.tasks.enqueue(work, customer)
    return await answer(request, reply, 201, { id: order.id, score: result.id })
  })
}
