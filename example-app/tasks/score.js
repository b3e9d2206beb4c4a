// @ts-check
import { task } from 'fastify-tasks'

/**
 * Trap, duplicate runs. A customer's score: a point for every whole ten ordered. It is counted from all of the orders, not added to, so it
 * may run twice, late, or in any order, and the score is right.
 */
export const recalculateScore = task('customers.score', { takesContext: true, retry: 3 }, async (context, /** @type {number} */ customerId) => {
  return await context.transaction(async (trx) => {
    const points = trx('orders').where({ customer_id: customerId }).select(trx.raw('coalesce(sum(amount), 0) / 10'))
    const [customer] = await trx('customers').where({ id: customerId }).update({ score: points }, ['score'])
    return customer === undefined ? null : customer.score
  })
})
