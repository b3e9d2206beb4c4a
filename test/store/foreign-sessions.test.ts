import t from 'tap'
import { openStore } from '#lib/store/index.js'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

const postgres = databases.find(({ name }) => name === 'postgres')
const backend = 'default'

t.test('in a transaction nothing relies on what its session has prepared, which a pooler may have changed', { skip: postgres === undefined && 'without PostgreSQL' }, async (t) => {
  const { url, close } = await (postgres as NonNullable<typeof postgres>).open()
  const store = openStore({ url })
  await store.open()
  t.teardown(async () => {
    await store.close()
    await close()
  })
  const tasks = [newRow().task]
  await store.register({ id: 'w', backend, leaseMs: 600_000, tasks, quarantine: false })
  const unique = (key: string) => newRow({ backend, tags: ['a'], unique: { key, scope: 'unfinished', onConflict: 'return' } })
  for (let turn = 1; turn <= 3; turn++) {
    await store.insert([newRow({ backend, tags: ['a'] })])
    await store.insert([unique(`outside ${turn}`)])
    const claimed = await store.claim({ worker: 'w', claim: turn, backend, lanes: [{ queue: 'default', priority: 0, after: null }], limit: 1, start: 1, tasks })
    const { transaction, commit } = await store.begin()
    await transaction.raw('DEALLOCATE ALL')
    await store.insert([newRow({ backend, tags: ['a'] })], { transaction })
    await store.insert([newRow({ backend }), newRow({ backend })], { transaction })
    const [inside] = await store.insert([unique(`inside ${turn}`)], { transaction })
    const [again] = await store.insert([unique(`inside ${turn}`)], { transaction })
    t.same([again?.isDuplicate, again?.row.id], [true, inside?.row.id])
    t.equal(await store.finishIn(transaction, 'w', { id: claimed[0]?.id as string, claim: turn, status: 'SUCCESSFUL', returnValue: '1' }, '"half"'), true)
    await commit()
    const ended = await store.get(claimed[0]?.id as string)
    t.match(ended, { status: 'SUCCESSFUL', returnValue: '1', progress: '"half"' })
  }
})
