import t from 'tap'
import { setTimeout } from 'node:timers/promises'
import knex, { type Knex } from 'knex'
import { openStore } from '#lib/store/index.js'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

const sqlite = databases.find(({ name }) => name === 'sqlite')

t.test("on SQLite a bounded enqueue in somebody's transaction takes the writer's turn before it counts, and is not refused for what others write meanwhile", { skip: sqlite === undefined && 'without SQLite' }, async (t) => {
  const { url, close } = await (sqlite as NonNullable<typeof sqlite>).open()
  const app = knex({ client: 'sqlite3', connection: { filename: url.replace('sqlite:', '') }, useNullAsDefault: true })
  const [theirs, other] = [openStore({ knex: app }), openStore({ url })]
  await theirs.open()
  await other.open()
  t.teardown(async () => {
    await theirs.close()
    await other.close()
    await app.destroy()
    await close()
  })
  let meanwhile: Promise<unknown> | null = null
  await app.transaction(async (transaction) => {
    const raw = transaction.raw.bind(transaction) as (...args: unknown[]) => Knex.Raw
    let statements = 0
    const watched = Object.create(transaction, {
      raw: {
        value: (...args: unknown[]) => {
          if (statements++ !== 1) return raw(...args)
          // Between the first statement and the second somebody else writes, where that is possible at all.
          meanwhile = other.insert([newRow()])
          return Promise.race([meanwhile, setTimeout(500)]).then(async () => await raw(...args))
        }
      }
    }) as Knex.Transaction
    await theirs.insert([newRow({ maxReady: 5 })], { transaction: watched })
  })
  t.ok(meanwhile)
  await meanwhile
  t.equal((await other.list({ backend: 'default', limit: 10 })).rows.length, 2)
})
