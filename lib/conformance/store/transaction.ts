import assert from 'node:assert/strict'
import { v7 as uuid } from 'uuid'
import { BACKEND, ending, ids, newRow } from './bench.js'
import type { Chapter } from './suite.js'
import type { ClaimedRow } from '../../store/store.js'

/** What is stored in a transaction is there when it commits, and was never there when it does not. */
export const transactionChapter: Chapter = (test) => {
  test('rows that were inserted in a transaction that rolls back never existed', async (bench) => {
    const rows = [newRow({ tags: ['t'] }), newRow({ unique: { key: 'k', scope: 'unfinished', onConflict: 'throw' } })]
    const open = await bench.store.begin()
    const inserted = await bench.store.insert(rows, { transaction: open.transaction })
    assert.deepEqual(ids(inserted.map(({ row }) => row)), ids(rows))
    await open.rollback()
    for (const { id } of rows) assert.equal(await bench.store.get(id), null)
    assert.deepEqual((await bench.store.list({ backend: BACKEND, tag: 't', limit: 10 })).rows, [])
    assert.deepEqual(await (await bench.worker()).claim(), [])
    assert.equal((await bench.store.insert([newRow({ unique: rows[1]!.unique })]))[0]?.isDuplicate, false)
  })

  test('rows that were inserted in a transaction are seen and claimed by nobody before it commits, and by all after it', async (bench) => {
    const other = await bench.connect()
    const worker = await bench.worker({ store: other })
    const open = await bench.store.begin()
    const [inserted] = await bench.store.insert([newRow()], { transaction: open.transaction })
    const { id } = inserted!.row
    assert.equal(await other.get(id), null)
    assert.deepEqual((await other.lanes({ backend: BACKEND })).lanes, [])
    await open.commit()
    assert.equal((await other.get(id))?.status, 'READY')
    assert.deepEqual(ids(await worker.claim()), [id])
  })

  test('a transaction that commits late is claimed all the same, though later rows were claimed before it', async (bench) => {
    const open = await bench.store.begin()
    const [early] = await bench.store.insert([newRow()], { transaction: open.transaction })
    await open.commit()
    const late = await bench.insertOne()
    assert.deepEqual(ids(await (await bench.worker()).claim()), [early!.row.id, late.id])
  })

  test('a store knows the transactions of its own database', async (bench) => {
    const open = await bench.store.begin()
    try {
      assert.equal(await bench.store.owns(open.transaction), true)
    } finally {
      await open.rollback()
    }
  })

  test('a transaction that has ended carries no more inserts', async (bench) => {
    const open = await bench.store.begin()
    await open.commit()
    const row = newRow()
    await assert.rejects(async () => await bench.store.insert([row], { transaction: open.transaction }))
    assert.equal(await bench.store.get(row.id), null)
  })

  test('an insert that fails in a transaction takes nothing else with it that a rollback would not', async (bench) => {
    await bench.insertOne({ unique: { key: 'k', scope: 'unfinished', onConflict: 'throw' } })
    const open = await bench.store.begin()
    const first = newRow()
    await bench.store.insert([first], { transaction: open.transaction })
    await assert.rejects(async () => await bench.store.insert([newRow({ unique: { key: 'k', scope: 'unfinished', onConflict: 'throw' } })], { transaction: open.transaction }), { code: 'FST_TASKS_NOT_UNIQUE' })
    await open.commit()
    assert.equal((await bench.store.get(first.id))?.status, 'READY')
  })

  test('a success that is written in a transaction stands when it commits', async (bench) => {
    const { row, worker } = await bench.running()
    const open = await bench.store.begin()
    assert.equal(await bench.store.finishIn(open.transaction, worker.id, ending(row, 'SUCCESSFUL', { value: '5' })), true)
    await open.commit()
    const { status, returnValue } = await bench.get(row.id)
    assert.deepEqual([status, returnValue], ['SUCCESSFUL', '5'])
  })

  test('a success that is written in a transaction that rolls back is not there, and the claim is held still', async (bench) => {
    const { row, worker } = await bench.running()
    const open = await bench.store.begin()
    await bench.store.finishIn(open.transaction, worker.id, ending(row, 'SUCCESSFUL'))
    await open.rollback()
    assert.equal((await bench.get(row.id)).status, 'RUNNING')
    assert.equal((await worker.finish(ending(row, 'FAILED'))).length, 1)
  })

  test('a success that is written in a transaction gives back what its row holds: a key of a limit, and a unique one', async (bench) => {
    const unique = { key: 'u', scope: 'unfinished', onConflict: 'return' } as const
    const worker = await bench.worker()
    for (const row of [{ limits: { key: 'k', concurrency: 1, rate: null } }, { unique }] as const) {
      const [first, second] = [await bench.insertOne(row), newRow(row)]
      await bench.store.insert([second])
      const claim = async (): Promise<ClaimedRow[]> => [...(await worker.claimLimited()).rows, ...await worker.claim()]
      const [claimed] = await claim()
      assert.equal(claimed?.id, first.id)
      assert.deepEqual(await claim(), [])
      const open = await bench.store.begin()
      assert.equal(await bench.store.finishIn(open.transaction, worker.id, ending(claimed, 'SUCCESSFUL')), true)
      await open.commit()
      await bench.store.insert([second])
      assert.deepEqual(ids(await claim()), [second.id])
      await worker.finish(ending({ id: second.id, claim: worker.lastClaim }, 'SUCCESSFUL'))
    }
  })

  test('a unique key of a time is held beyond a success that is written in a transaction', async (bench) => {
    const unique = { key: 'u', scope: 3_600_000, onConflict: 'return' } as const
    const { row, worker } = await bench.running({ unique })
    const open = await bench.store.begin()
    assert.equal(await bench.store.finishIn(open.transaction, worker.id, ending(row, 'SUCCESSFUL')), true)
    await open.commit()
    assert.equal((await bench.store.insert([newRow({ unique })]))[0]?.row.id, row.id)
  })

  test('a success in a transaction is written with its progress, or keeps the one before; and not where it is to be cancelled', async (bench) => {
    for (const [given, stands] of [[undefined, '1'], ['2', '2'], ['null', 'null']] as const) {
      const { row, worker } = await bench.running()
      await bench.store.progress(worker.id, row, '1')
      const open = await bench.store.begin()
      assert.equal(await bench.store.finishIn(open.transaction, worker.id, ending(row, 'SUCCESSFUL'), given), true)
      await open.commit()
      assert.equal((await bench.get(row.id)).progress, stands)
    }
    const { row, worker } = await bench.running()
    await bench.store.cancel({ backend: BACKEND, id: row.id })
    const open = await bench.store.begin()
    assert.equal(await bench.store.finishIn(open.transaction, worker.id, ending(row, 'SUCCESSFUL')), false)
    await open.rollback()
    assert.equal((await bench.get(row.id)).status, 'RUNNING')
  })

  test('a success is not written in a transaction by a worker that has lost its claim', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.bury(worker)
    const open = await bench.store.begin()
    assert.equal(await bench.store.finishIn(open.transaction, worker.id, ending(row, 'SUCCESSFUL')), false)
    await open.commit()
    assert.equal((await bench.get(row.id)).status, 'READY')
  })

  test('many transactions at once take their turns, and each is whole', async (bench) => {
    const committed: string[] = []
    const rolledBack: string[] = []
    await Promise.all(Array.from({ length: 12 }, async (_, index) => {
      const open = await bench.store.begin()
      const rows = [newRow({ id: uuid() }), newRow()]
      await bench.store.insert(rows, { transaction: open.transaction })
      if (index % 3 === 0) {
        rolledBack.push(...ids(rows))
        await open.rollback()
      } else {
        committed.push(...ids(rows))
        await open.commit()
      }
    }))
    assert.deepEqual(ids(await bench.store.getMany(committed)).sort(), committed.sort())
    assert.deepEqual(await bench.store.getMany(rolledBack), [])
  })

  test('inserts beside an open transaction are not part of it', async (bench) => {
    const open = await bench.store.begin()
    const beside = bench.insertOne() // on a store with one writer it waits for its turn
    await bench.store.insert([newRow()], { transaction: open.transaction })
    await open.rollback()
    const { id } = await beside
    assert.deepEqual(ids((await bench.store.list({ backend: BACKEND, limit: 10 })).rows), [id])
  })
}
