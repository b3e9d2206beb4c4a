import t from 'tap'
import { Bench, ending } from '#lib/conformance/store/bench.js'
import type { NewRow } from '#lib/store/store.js'
import { databases } from '../support/databases.ts'
import { heardPostgres, heardSqlite } from '../support/heard-stores.ts'

// A statement is compiled, or planned, for its text; where each number of keys has one of its own, that is done for each claim.

const KEYS_MAX = 17

for (const { name } of databases) {
  t.test(`${name}: claims of rows under any number of keys are a few statements`, async (t) => {
    const { knex, store } = name === 'postgres' ? await heardPostgres(t) : await heardSqlite(t)
    const bench = new Bench({ store, connect: async () => store, close: async () => {} })
    const worker = await bench.worker()
    const texts = new Set<string>()
    knex.on('query', ({ sql }: { sql: string }) => { if (sql.includes('r.limits, r.holds')) texts.add(sql) })
    for (let keys = 1; keys <= KEYS_MAX; keys++) {
      await bench.insert(...Array.from({ length: 2 * keys }, (_, row) => under(`${keys} ${row % keys}`)))
      for (const turn of ['first', 'second']) {
        const { rows } = await worker.claimLimited()
        t.equal(rows.length, keys, `the ${turn} row of each of ${keys} keys`)
        await worker.finish(...rows.map((row) => ending(row, 'SUCCESSFUL')))
      }
    }
    t.equal(texts.size, name === 'postgres' ? 1 : 3, 'one, or on SQLite those for 8, 16, and 32 keys')
  })
}

function under (key: string): Partial<NewRow> {
  return { limits: { key, concurrency: 1, rate: null } }
}
