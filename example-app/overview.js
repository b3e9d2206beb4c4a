// @ts-check

/**
 * Everything that the front page shows: the site's own rows, and beside each the work that concerns it, found by tag.
 *
 * @param {import('fastify').FastifyInstance} app
 */
export async function overview (app) {
  const [pages, customers, notes, stats, recent] = await Promise.all([
    readPages(app), readCustomers(app), readNotes(app), app.tasks.stats(), app.tasks.list({ limit: 10 })
  ])
  return { pages, customers, notes, queues: stats.queues, workers: stats.workers.length, recent: recent.results.map(workOf) }
}

const PAGES = 5
const NOTES = 5
const FAILURES = 5

/** @typedef {Awaited<ReturnType<typeof overview>>} Overview */
/** @typedef {{ id: number, title: string, body: string, published_at: unknown, total: number | string, sent: number | string }} PageRow */

/** @param {import('fastify').FastifyInstance} app */
async function readPages (app) {
  /** @type {PageRow[]} */
  const rows = await app.knex('pages')
    .leftJoin('deliveries', 'deliveries.page_id', 'pages.id')
    .groupBy('pages.id')
    .orderBy('pages.id', 'desc')
    .limit(PAGES)
    .select('pages.id', 'title', 'body', 'published_at')
    .count({ total: 'subscriber_id', sent: 'sent_at' })
  return await Promise.all(rows.map(async (row) => ({
    id: row.id, title: row.title, body: row.body, published: row.published_at !== null, mails: await readMails(app, row)
  })))
}

/**
 * How far the mails of a page are. What was sent is in the site's own table; the rest is in the task results.
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {PageRow} row
 */
async function readMails (app, row) {
  const total = Number(row.total)
  const sent = Number(row.sent)
  if (sent === total) return { total, sent, waiting: 0, running: 0, failed: 0, cancelled: 0, failures: [] }
  const tag = `page:${row.id}`
  const [running, failed, cancelled] = await Promise.all([
    readAll(app, { tag, status: 'RUNNING' }), readAll(app, { tag, status: 'FAILED' }), readAll(app, { tag, status: 'CANCELLED' })
  ])
  // Read one after the other, so a mail may have moved on in between; the next look is right.
  const waiting = Math.max(0, total - sent - running.length - failed.length - cancelled.length)
  return {
    total,
    sent,
    waiting,
    running: running.length,
    failed: failed.length,
    cancelled: cancelled.length,
    failures: failed.slice(0, FAILURES).map(workOf)
  }
}

/**
 * @param {import('fastify').FastifyInstance} app
 * @param {{ tag: string, status: import('fastify-tasks').TaskResultStatus }} filter
 */
async function readAll (app, filter) {
  const all = []
  /** @type {string | undefined} */
  let after
  do {
    const { results, next } = await app.tasks.list({ ...filter, limit: 1000, after })
    all.push(...results)
    after = next ?? undefined
  } while (after !== undefined)
  return all
}

/** @param {import('fastify').FastifyInstance} app */
async function readCustomers (app) {
  /** @type {Array<{ id: number, name: string, score: number, ordered: number | string | null }>} */
  const rows = await app.knex('customers')
    .leftJoin('orders', 'orders.customer_id', 'customers.id')
    .groupBy('customers.id')
    .orderBy('customers.id')
    .select('customers.id', 'name', 'score')
    .sum({ ordered: 'amount' })
  return await Promise.all(rows.map(async (row) => {
    const { results } = await app.tasks.list({ tag: `customer:${row.id}`, limit: 1 })
    return { id: row.id, name: row.name, score: row.score, ordered: Number(row.ordered ?? 0), work: results.map(workOf)[0] ?? null }
  }))
}

/** @param {import('fastify').FastifyInstance} app */
async function readNotes (app) {
  const rows = await app.knex('notes').whereNull('copied_from').orderBy('id', 'desc').limit(NOTES).select('id', 'text')
  /** @type {Array<{ copied_from: number, copies: number | string }>} */
  const copies = await app.knex('notes').whereIn('copied_from', rows.map(({ id }) => id)).groupBy('copied_from').select('copied_from').count({ copies: 'id' })
  const made = new Map(copies.map((row) => [row.copied_from, Number(row.copies)]))
  return await Promise.all(rows.map(async ({ id, text }) => {
    const { results } = await app.tasks.list({ tag: `note:${id}`, limit: 10 })
    return { id, text, copies: made.get(id) ?? 0, work: results.map(workOf).reverse() }
  }))
}

/**
 * A task result as the page shows it.
 *
 * @param {import('fastify-tasks').TaskResult} result
 */
function workOf (result) {
  const { id, taskName, status, args, attempts, enqueuedAt, runAfter, errors } = result
  return { id, task: taskName, status, args, attempts, enqueuedAt, runAfter, error: errors.at(-1)?.message ?? null }
}

/** @typedef {ReturnType<typeof workOf>} Work */
