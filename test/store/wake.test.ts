import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import pg from 'pg'
import { openStore, type KnexStore } from '#lib/store/index.js'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'
import { eventually, within } from '../support/eventually.ts'

const HEARD_MS = 10_000 // within which a hint comes on a busy machine
const QUIET_MS = 500 // many times the interval at which a process sends hints

for (const { name, open } of databases) {
  t.test(`workers of other processes, on ${name}`, async (t) => {
    const { url, close } = await open()
    t.teardown(close)

    t.test('are woken once rows were committed by a transaction of somebody else', async (t) => {
      const { store, ears } = await setting(t, url)
      const heard = new Promise<void>((resolve) => { ears.onHint = resolve })
      store.committed() // nothing is written by it: only a hint can be heard
      await within(HEARD_MS, 'the hint', heard)
    })

    t.test('are woken when the rows of an insert are there to be seen, also by those that follow upon each other', async (t) => {
      const { store, other, ears } = await setting(t, url)
      for (let round = 0; round < 5; round++) {
        const row = newRow()
        const seen = new Promise<void>((resolve) => {
          ears.onHint = () => { void other.get(row.id).then((found) => { if (found !== null) resolve() }) }
        })
        await store.insert([row])
        await within(HEARD_MS, 'a hint by which the row can be seen', seen)
      }
    })

    t.test('hear no more once all is stored', async (t) => {
      const { store, ears } = await setting(t, url)
      await store.insert([newRow()])
      await eventually(() => { assert.ok(ears.count > 0) })
      await ears.quiet()
      const { count } = ears
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
      t.equal(ears.count, count)
    })
  })
}

const postgres = databases.find(({ name }) => name === 'postgres')
const { query } = pg.Client.prototype
const ALONE = 'SELECT pg_notify($1, $2)'

t.test('the word to workers', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { url, close } = await (postgres as NonNullable<typeof postgres>).open()
  t.teardown(close)

  t.test('goes along with an insert of a process that has sent none for a while, and alone at the next', async (t) => {
    const { store, ears } = await setting(t, url)
    const sent = sentBy(t)
    await store.insert([newRow()])
    t.same(sent.filter(({ text }) => text === ALONE), [])
    await store.insert([newRow()])
    await eventually(() => { assert.equal(ears.count, 2) })
    await ears.quiet()
    t.equal(sent.filter(({ text }) => text === ALONE).length, 1)
    t.equal(ears.count, 2)
  })

  t.test('is left out where the database refuses it, and the rows are stored all the same', async (t) => {
    const { store } = await setting(t, url)
    const refused = Object.assign(new Error('too many notifications in the NOTIFY queue'), { code: '54000', severity: 'ERROR' })
    const channels: unknown[] = []
    t.intercept(pg.Client.prototype, 'query', {
      value: async function (this: pg.Client, ...args: Parameters<typeof query>) {
        const { text, values } = args[0] as unknown as { text?: string, values?: unknown[] }
        if (text?.includes('AS told') !== true) return await query.apply(this, args)
        channels.push(values?.at(-1))
        if (values?.at(-1) !== null) throw refused
        return await query.apply(this, args)
      }
    })
    const rows = [newRow(), newRow(), newRow()]
    for (const row of rows) await store.insert([row])
    t.equal((await store.getMany(rows.map(({ id }) => id))).length, 3)
    t.equal(channels.filter((channel) => channel !== null).length, 1, 'and is not tried again for a while')
  })
})

interface Ears {
  /** Hints that were heard. */
  count: number
  onHint: () => void
  /** Resolves when none has come for a while. */
  quiet: () => Promise<void>
}

/** A store that stores, and another one on the same tables that listens. */
async function setting (t: Test, url: string): Promise<{ store: KnexStore, other: KnexStore, ears: Ears }> {
  const store = openStore({ url })
  const other = openStore({ url })
  await store.open()
  await other.open()
  const ears: Ears = {
    count: 0,
    onHint: () => {},
    async quiet () {
      for (let before = -1; before !== ears.count;) {
        before = ears.count
        await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
      }
    }
  }
  const listener = await other.listen(() => {
    ears.count += 1
    ears.onHint()
  })
  t.teardown(async () => {
    await listener.close()
    await store.close()
    await other.close()
  })
  await ears.quiet()
  ears.count = 0
  return { store, other, ears }
}

/** What is sent to PostgreSQL from now on. */
function sentBy (t: Test): Array<{ text: string }> {
  const sent: Array<{ text: string }> = []
  t.intercept(pg.Client.prototype, 'query', {
    value: function (this: pg.Client, ...args: Parameters<typeof query>) {
      sent.push({ text: typeof args[0] === 'string' ? args[0] : (args[0] as unknown as { text: string }).text })
      return query.apply(this, args)
    }
  })
  return sent
}
