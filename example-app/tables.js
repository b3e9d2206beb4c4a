// @ts-check
import { readFile } from 'node:fs/promises'

/**
 * Create the site's tables and fill in what a site has on its first day. Server and workers may all do this at the
 * same moment: one transaction, behind a lock that ends with it.
 *
 * @param {import('knex').Knex} knex
 * @param {string} subscribersFile
 */
export async function createTables (knex, subscribersFile) {
  const subscribers = await readSubscribers(subscribersFile)
  await knex.transaction(async (trx) => {
    await lock(trx)
    if (await trx.schema.hasTable('subscribers')) return
    await createAll(trx)
    await trx.batchInsert('subscribers', subscribers, 200)
    await trx('customers').insert(['Bluebird Books', 'Café Orion', 'Harbour Library'].map((name) => ({ name })))
    await trx('pages').insert([
      { title: 'The tide tables for spring', body: 'High water moves by fifty minutes a day. Here is the whole season on one page.' },
      { title: 'How we print', body: 'Two colours, one drum, and a lot of patience.' }
    ])
    await trx('notes').insert([{ text: 'Order more paper: cream, 120 g' }, { text: 'Call the ferry office about the new timetable' }])
  })
}

/**
 * On SQLite the first write of a transaction takes the lock; a read before it could see a state that is gone when the
 * write comes.
 *
 * @param {import('knex').Knex.Transaction} trx
 */
async function lock (trx) {
  if (trx.client.config.client === 'pg') {
    await trx.raw('SELECT pg_advisory_xact_lock(?)', [727_001]) // any number that nobody else uses in this database
  } else {
    await trx.raw('CREATE TABLE IF NOT EXISTS site_lock (id INTEGER PRIMARY KEY)')
    await trx.raw('INSERT OR IGNORE INTO site_lock (id) VALUES (1)')
  }
}

/** @param {import('knex').Knex.Transaction} trx */
async function createAll (trx) {
  await trx.schema
    .createTable('pages', (table) => {
      table.increments('id')
      table.text('title').notNullable()
      table.text('body').notNullable()
      table.timestamp('published_at')
    })
    .createTable('subscribers', (table) => {
      table.increments('id')
      table.text('name').notNullable()
      table.text('email').notNullable().unique()
    })
    // One row a page and subscriber, written when the page is published: what makes sending a mail idempotent.
    .createTable('deliveries', (table) => {
      table.integer('page_id').notNullable().references('pages.id')
      table.integer('subscriber_id').notNullable().references('subscribers.id')
      table.timestamp('sent_at')
      table.primary(['page_id', 'subscriber_id'])
    })
    .createTable('customers', (table) => {
      table.increments('id')
      table.text('name').notNullable()
      table.integer('score').notNullable().defaultTo(0)
    })
    .createTable('orders', (table) => {
      table.increments('id')
      table.integer('customer_id').notNullable().references('customers.id')
      table.integer('amount').notNullable()
    })
    .createTable('notes', (table) => {
      table.increments('id')
      table.text('text').notNullable()
      table.integer('copied_from') // no foreign key: a copy outlives its original
    })
}

/**
 * @param {string} file `name,email`, one subscriber a line under a heading; a name may contain commas, an address not
 * @returns {Promise<Array<{ name: string, email: string }>>}
 */
async function readSubscribers (file) {
  const lines = (await readFile(file, 'utf8')).split(/\r?\n/).slice(1)
  return lines.filter((line) => line !== '').map((line) => {
    const comma = line.lastIndexOf(',')
    return { name: line.slice(0, comma), email: line.slice(comma + 1) }
  })
}
