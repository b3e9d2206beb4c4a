import t from 'tap'
import knexFactory, { type Knex } from 'knex'
import { newRow } from '#lib/conformance/store/bench.js'
import { openStore } from '#lib/store/index.js'
import { databases } from './databases.ts'
import { emptyTables } from './postgres-databases.ts'

for (const { name, open } of databases) {
  t.test(`a ${name} database for a test is empty, is its own, and nothing of it is met by the next`, async (t) => {
    const one = await open()
    const two = await open()
    t.not(one.url, two.url)
    t.match(one.url, name === 'sqlite' ? /^sqlite:/ : /^postgres:/)
    const knex = connect(one.url)
    await knex.raw('CREATE TABLE left_behind (id integer)')
    if (name === 'postgres') await knex.raw('CREATE SCHEMA other CREATE TABLE t (id integer)')
    await (name === 'sqlite' ? knex.destroy() : null)
    await one.close()
    const three = await open()
    const again = connect(three.url)
    t.equal(await again.schema.hasTable('left_behind'), false)
    await again.raw('CREATE TABLE left_behind (id integer)')
    await again.destroy()
    await knex.destroy()
    await two.close()
    await three.close()
  })
}

for (const { name, open } of databases) {
  t.test(`a ${name} database that keeps its tables has no row of an earlier test in them`, async (t) => {
    for (let count = 0; count < 3; count++) {
      const { url, close } = await open({ keepTables: true })
      const store = openStore({ url, listen: false })
      await store.open()
      t.match(await store.list({ backend: 'default', limit: 10 }), { rows: { length: 0 } })
      await store.insert([newRow()])
      if (name === 'postgres') {
        await emptyTables(url)
        t.match(await store.list({ backend: 'default', limit: 10 }), { rows: { length: 0 } }, 'and the store goes on')
        await store.insert([newRow()])
      }
      await store.close()
      await close()
    }
  })
}

function connect (url: string): Knex {
  if (!url.startsWith('sqlite:')) return knexFactory({ client: 'pg', connection: url })
  return knexFactory({ client: 'sqlite3', connection: { filename: url.slice('sqlite:'.length) }, useNullAsDefault: true })
}
