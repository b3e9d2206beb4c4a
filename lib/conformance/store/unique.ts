import assert from 'node:assert/strict'
import { BACKEND, ending, ids, newRow } from './bench.js'
import type { Chapter } from './suite.js'
import type { NewRow, UniqueRule } from '../../store/store.js'

/** One row a key: who gets it, who meets it, and when it is free again. */
export const uniqueChapter: Chapter = (test) => {
  test('of fifty inserts of one key at the same moment one is stored, and the others are given that one', async (bench) => {
    const stores = [bench.store, await bench.connect()]
    const row = under({ key: 'k' })
    const inserted = await Promise.all(Array.from({ length: 50 }, async (_, index) => await stores[index % 2]!.insert([newRow(row)])))
    const answers = inserted.flat()
    assert.equal(new Set(answers.map(({ row }) => row.id)).size, 1)
    assert.equal(answers.filter(({ isDuplicate }) => !isDuplicate).length, 1)
    assert.equal((await bench.store.list({ backend: BACKEND, limit: 100 })).rows.length, 1)
  })

  test('a key is held by task name and backend: another one may have the same', async (bench) => {
    const rows = await bench.insert(under({ key: 'k' }), { ...under({ key: 'k' }), task: 'other' }, { ...under({ key: 'k' }), backend: 'other' }, under({ key: 'K' }))
    assert.equal(new Set(ids(rows)).size, 4)
  })

  test('under a held key `return` changes nothing and gives the row that stands, READY or RUNNING', async (bench) => {
    const first = await bench.insertOne({ ...under({ key: 'k' }), args: '[1]' })
    const again = await bench.store.insert([newRow({ ...under({ key: 'k' }), args: '[2]' })])
    assert.deepEqual(again, [{ row: first, isDuplicate: true }])
    const [row] = await (await bench.worker()).claim()
    const [third] = await bench.store.insert([newRow(under({ key: 'k' }))])
    assert.deepEqual([third?.row.id, third?.row.status, third?.isDuplicate], [row!.id, 'RUNNING', true])
  })

  test('under a held key `throw` refuses and stores nothing', async (bench) => {
    const first = await bench.insertOne(under({ key: 'k' }))
    await assert.rejects(async () => await bench.insert(under({ key: 'k', onConflict: 'throw' })), { code: 'FST_TASKS_NOT_UNIQUE' })
    assert.deepEqual((await bench.store.list({ backend: BACKEND, limit: 10 })).rows, [first])
  })

  test('under a held key `replace` puts the new arguments, moment and tags into the READY row that stands', async (bench) => {
    const first = await bench.insertOne({ ...under({ key: 'k' }), args: '[1]', tags: ['old'] })
    const [again] = await bench.store.insert([newRow({ ...under({ key: 'k', onConflict: 'replace' }), args: '[2]', priority: 9, queue: 'q', tags: ['new'] })])
    assert.deepEqual([again?.row.id, again?.row.args, again?.row.priority, again?.row.queue, again?.isDuplicate], [first.id, '[2]', 9, 'q', true])
    assert.deepEqual(await bench.get(first.id), again?.row)
    assert.equal((await bench.store.list({ backend: BACKEND, tag: 'old', limit: 10 })).rows.length, 0)
    assert.equal((await bench.store.list({ backend: BACKEND, tag: 'new', limit: 10 })).rows.length, 1)
  })

  test('`replace` that cannot store its tags changes nothing', async (bench) => {
    const first = await bench.insertOne({ ...under({ key: 'k' }), args: '[1]', tags: ['old'] })
    await assert.rejects(async () => await bench.insert({ ...under({ key: 'k', onConflict: 'replace' }), args: '[2]', tags: [null as unknown as string] }))
    assert.deepEqual(await bench.get(first.id), first)
    assert.deepEqual(ids((await bench.store.list({ backend: BACKEND, tag: 'old', limit: 10 })).rows), [first.id])
  })

  test('`replace` changes nothing in a row that runs', async (bench) => {
    const { row } = await bench.running({ ...under({ key: 'k' }), args: '[1]' })
    const before = await bench.get(row.id)
    const [again] = await bench.store.insert([newRow({ ...under({ key: 'k', onConflict: 'replace' }), args: '[2]' })])
    assert.deepEqual(again, { row: before, isDuplicate: true })
    assert.deepEqual(await bench.get(row.id), before)
  })

  test('a key that is held while READY is free once the row is claimed', async (bench) => {
    const { row } = await bench.running(under({ key: 'k', scope: 'ready' }))
    const [next] = await bench.store.insert([newRow(under({ key: 'k', scope: 'ready' }))])
    assert.deepEqual([next?.isDuplicate, next?.row.id === row.id], [false, false])
  })

  test('a row that is handed back while another one has taken its key stands beside it, and breaks nothing', async (bench) => {
    const { row, worker } = await bench.running(under({ key: 'k', scope: 'ready' }))
    await bench.insertOne(under({ key: 'k', scope: 'ready' }))
    assert.deepEqual(await worker.release(row), [row.id])
    assert.equal((await worker.claim()).length, 2)
  })

  for (const status of ['SUCCESSFUL', 'FAILED', 'CANCELLED'] as const) {
    test(`a key that is held until the end is free once the row is ${status}`, async (bench) => {
      const { row, worker } = await bench.running(under({ key: 'k' }))
      await worker.finish(ending(row, 'READY'))
      const [meanwhile] = await bench.store.insert([newRow(under({ key: 'k' }))])
      assert.equal(meanwhile?.row.id, row.id, 'a retry that waits holds the key')
      await worker.finish(ending(await worker.claimEventually(row.id), status))
      assert.equal((await bench.store.insert([newRow(under({ key: 'k' }))]))[0]?.isDuplicate, false)
    })
  }

  test('a key that is held for a time is held for it, past the end of the row, and no longer', async (bench) => {
    const { row, worker } = await bench.running(under({ key: 'k', scope: 2_000 }))
    await worker.finish(ending(row, 'SUCCESSFUL'))
    const [held] = await bench.store.insert([newRow(under({ key: 'k', scope: 2_000 }))])
    assert.deepEqual([held?.row.id, held?.isDuplicate], [row.id, true])
    await new Promise((resolve) => setTimeout(resolve, 2_050))
    assert.equal((await bench.store.insert([newRow(under({ key: 'k', scope: 2_000 }))]))[0]?.isDuplicate, false)
  })

  test('an insert under a key that is sent again is no duplicate of itself', async (bench) => {
    const row = newRow(under({ key: 'k', onConflict: 'throw' }))
    const first = await bench.store.insert([row])
    assert.deepEqual(await bench.store.insert([row]), first)
  })

  test('many keys in one call, in whatever order, from several sides: each is stored once and nobody waits for ever', async (bench) => {
    const other = await bench.connect()
    const keys = Array.from({ length: 12 }, (_, index) => `k${index}`)
    const rounds = Array.from({ length: 6 }, async (_, round) => {
      const order = round % 2 === 0 ? keys : [...keys].reverse()
      return await (round % 3 === 0 ? other : bench.store).insert(order.map((key) => newRow(under({ key }))))
    })
    const inserted = (await Promise.all(rounds)).flat()
    assert.equal(inserted.filter(({ isDuplicate }) => !isDuplicate).length, keys.length)
    assert.equal((await bench.store.list({ backend: BACKEND, limit: 100 })).rows.length, keys.length)
  })
}

function under (rule: Partial<UniqueRule> & { key: string }): Partial<NewRow> {
  return { unique: { scope: 'unfinished', onConflict: 'return', ...rule } }
}
