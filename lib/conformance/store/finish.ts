import assert from 'node:assert/strict'
import { BACKEND, ending, ids, storedError } from './bench.js'
import type { Chapter } from './suite.js'
import type { ClaimedRow } from '../../store/store.js'
import { WORKER_IDS_MAX } from '../../core/limits.js'

/** What is written after a claim, and that only who holds the claim writes it. */
export const finishChapter: Chapter = (test) => {
  test('a success is written with its value and its moment', async (bench) => {
    const { row, worker } = await bench.running()
    const [finished] = await worker.finish(ending(row, 'SUCCESSFUL', { value: '{"a":[1]}' }))
    const stored = await bench.get(row.id)
    assert.deepEqual(finished, { id: row.id, status: 'SUCCESSFUL', at: stored.finishedAt, runAfter: null })
    assert.deepEqual([stored.status, stored.returnValue, stored.errors, stored.attempts], ['SUCCESSFUL', '{"a":[1]}', [], 1])
    assert.ok(stored.finishedAt! >= stored.startedAt!)
    assert.deepEqual(stored.workerIds, [worker.id])
  })

  test('a failure is written with its errors', async (bench) => {
    const { row, worker } = await bench.running()
    const errors = [storedError({ code: 'E_X' }), storedError({ attempt: 2, message: 'again' })]
    await worker.finish(ending(row, 'FAILED', { errors }))
    const stored = await bench.get(row.id)
    assert.deepEqual([stored.status, stored.errors, stored.returnValue], ['FAILED', errors, null])
    assert.ok(stored.finishedAt !== null)
  })

  test('a retry keeps its errors, and a success after it keeps them too', async (bench) => {
    const { row, worker } = await bench.running()
    await worker.finish(ending(row, 'READY', { errors: [storedError()] }))
    assert.equal((await bench.get(row.id)).finishedAt, null)
    const again = await worker.claimEventually(row.id)
    await worker.finish(ending(again, 'SUCCESSFUL'))
    const stored = await bench.get(row.id)
    assert.deepEqual([stored.status, stored.attempts, stored.errors], ['SUCCESSFUL', 2, [storedError()]])
  })

  test('of the workers that ran a row the newest 50 are kept', async (bench) => {
    const { row, worker } = await bench.running()
    await worker.finish(ending(row, 'READY', { errors: [] }))
    const others: string[] = []
    for (let attempt = 0; attempt < WORKER_IDS_MAX + 2; attempt++) {
      const next = await bench.worker()
      others.push(next.id)
      const again = await next.claimEventually(row.id)
      assert.deepEqual(again.workerIds, [worker.id, ...others].slice(-WORKER_IDS_MAX))
      await next.finish(ending(again, 'READY', { errors: [] }))
    }
    assert.deepEqual((await bench.get(row.id)).workerIds, others.slice(-WORKER_IDS_MAX))
  })

  test('endings of every kind are written in one call, one answer each', async (bench) => {
    await bench.insert({}, {}, {}, {})
    const worker = await bench.worker()
    const [a, b, c, d] = await worker.claim()
    const finished = await worker.finish(ending(a!, 'SUCCESSFUL', { value: '1' }), ending(b!, 'FAILED'), ending(c!, 'CANCELLED'), ending(d!, 'READY', { delay: 60_000 }))
    const answers = new Map(finished.map(({ id, status }) => [id, status]))
    assert.deepEqual([a, b, c, d].map((row) => answers.get(row!.id)), ['SUCCESSFUL', 'FAILED', 'CANCELLED', 'READY'])
    assert.deepEqual((await Promise.all([a, b, c, d].map(async (row) => await bench.get(row!.id)))).map(({ status }) => status), ['SUCCESSFUL', 'FAILED', 'CANCELLED', 'READY'])
  })

  test('a large batch of endings is written in one call', async (bench) => {
    await bench.insert(...Array.from({ length: 500 }, () => ({})))
    const worker = await bench.worker()
    const claimed = await worker.claim({ limit: 500 })
    const finished = await worker.finish(...claimed.map((row, index) => ending(row, 'SUCCESSFUL', { value: String(index) })))
    assert.equal(finished.length, 500)
    assert.equal((await bench.get(claimed[499]!.id)).returnValue, '499')
  })

  test('rows are handed back uncharged, READY and due as before', async (bench) => {
    const { row, worker } = await bench.running()
    const before = await bench.get(row.id)
    assert.deepEqual(await worker.release(row), [row.id])
    const after = await bench.get(row.id)
    assert.deepEqual([after.status, after.attempts, after.deaths, after.due, after.errors], ['READY', 0, 0, before.due, []])
    const [again] = await worker.claim()
    assert.equal(again?.attempts, 1)
  })

  test('progress is stored while the claim is held, the newest value stands, and it outlives the end', async (bench) => {
    const { row, worker } = await bench.running()
    assert.equal(await bench.store.progress(worker.id, row, '1'), true)
    assert.equal(await bench.store.progress(worker.id, row, '{"done":2}'), true)
    await worker.finish(ending(row, 'SUCCESSFUL'))
    assert.equal((await bench.get(row.id)).progress, '{"done":2}')
    assert.equal(await bench.store.progress(worker.id, row, '3'), false)
    assert.equal((await bench.get(row.id)).progress, '{"done":2}')
  })

  test('an ending whose call failed after it took effect is answered when it is sent again, and told from that of another', async (bench) => {
    for (const status of ['SUCCESSFUL', 'FAILED'] as const) {
      const { row, worker } = await bench.running()
      await worker.finish(ending(row, status))
      assert.equal((await worker.finish(ending(row, status))).length, 0)
      assert.deepEqual((await worker.finish({ ...ending(row, status), sent: true })).map((finished) => [finished.id, finished.status]), [[row.id, status]])
      assert.equal((await worker.finish({ ...ending(row, status === 'FAILED' ? 'SUCCESSFUL' : 'FAILED'), sent: true })).length, 0)
    }
  })

  test('an ending is written once: a second one changes nothing', async (bench) => {
    for (const first of ['SUCCESSFUL', 'FAILED', 'CANCELLED'] as const) {
      const { row, worker } = await bench.running()
      await worker.finish(ending(row, first))
      const before = await bench.get(row.id)
      for (const second of ['SUCCESSFUL', 'FAILED', 'CANCELLED', 'READY'] as const) {
        await worker.finish(ending(row, second, { value: '"late"', errors: [storedError({ message: 'late' })] }))
      }
      assert.deepEqual(await bench.get(row.id), before)
    }
  })

  guards(test)
}

const guards: Chapter = (test) => {
  for (const held of ['another worker', 'an earlier claim'] as const) {
    test(`a worker that holds nothing changes nothing: the row is under ${held === 'another worker' ? 'another worker' : 'a later claim of its own'}`, async (bench) => {
      const { row: stale, worker } = await bench.running()
      await worker.release(stale)
      const holder = held === 'another worker' ? await bench.worker() : worker
      const [row] = await holder.claim()
      const before = await bench.get(row!.id)
      assert.deepEqual(await worker.finish(ending(stale, 'SUCCESSFUL'), ending(stale, 'FAILED')), [])
      assert.deepEqual(await worker.finish(ending(stale, 'READY')), [])
      assert.deepEqual(await worker.release(stale), [])
      assert.equal(await bench.store.progress(worker.id, stale, '1'), false)
      assert.deepEqual(await bench.get(row!.id), before)
      assert.equal((await holder.finish(ending(row!, 'SUCCESSFUL'))).length, 1)
    })
  }

  test('of a batch, what is still held is written and what is not is refused', async (bench) => {
    await bench.insert({}, {})
    const worker = await bench.worker()
    const [a, b] = await worker.claim()
    await worker.release(a!)
    const finished = await worker.finish(ending(a!, 'SUCCESSFUL'), ending(b!, 'SUCCESSFUL'))
    assert.deepEqual(ids(finished), [b!.id])
    assert.equal((await bench.get(a!.id)).status, 'READY')
  })

  test('a worker cannot finish a row that it never claimed', async (bench) => {
    const { id } = await bench.insertOne()
    const worker = await bench.worker()
    assert.deepEqual(await worker.finish(ending({ id, claim: 1 }, 'SUCCESSFUL')), [])
    assert.equal((await bench.get(id)).status, 'READY')
  })

  test('the claims that a worker has are told when it renews, until their last row has ended', async (bench) => {
    await bench.insert({}, {}, {})
    const worker = await bench.worker()
    const [a, b] = await worker.claim({ limit: 2 }) as [ClaimedRow, ClaimedRow]
    const [c] = await worker.claim({ limit: 2 }) as [ClaimedRow]
    const claims = async (): Promise<number[]> => [...(await bench.store.renew(worker.id, { leaseMs: 60_000, running: 3 })).claims].sort()
    assert.deepEqual(await claims(), [1, 2])
    await bench.store.finish(worker.id, [ending(a, 'SUCCESSFUL')], [])
    assert.deepEqual(await claims(), [1, 2])
    await bench.store.finish(worker.id, [ending(b, 'SUCCESSFUL')], [a.claim])
    assert.deepEqual(await claims(), [2])
    await bench.store.release(worker.id, [{ id: c.id, claim: c.claim }], [c.claim])
    assert.deepEqual(await claims(), [])
  })

  test('a worker that leaves hands back what it holds, uncharged, and is no longer listed', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.store.deregister(worker.id)
    const after = await bench.get(row.id)
    assert.deepEqual([after.status, after.attempts, after.deaths], ['READY', 0, 0])
    assert.deepEqual((await bench.store.stats(BACKEND)).workers, [])
    assert.deepEqual(await worker.finish(ending(row, 'SUCCESSFUL')), [])
  })
}
