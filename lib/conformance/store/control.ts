import assert from 'node:assert/strict'
import { eventually } from '../eventually.js'
import { BACKEND, ending, ids, newRow, storedError } from './bench.js'
import type { Chapter } from './suite.js'
import type { Row } from '../../store/store.js'

/** Cancelling, putting back, pruning. */
export const controlChapter: Chapter = (test) => {
  test('a READY row that is cancelled ends CANCELLED at once and is never claimed', async (bench) => {
    const { id } = await bench.insertOne()
    const { cancelled, signalled } = await bench.store.cancel({ backend: BACKEND, id })
    const row = await bench.get(id)
    assert.deepEqual([cancelled, signalled], [[row], []])
    assert.equal(row.status, 'CANCELLED')
    assert.ok(row.finishedAt !== null && row.startedAt === null)
    assert.deepEqual(await (await bench.worker()).claim(), [])
  })

  test('a RUNNING row that is cancelled goes on, and its worker is told until it has ended', async (bench) => {
    const { row, worker } = await bench.running()
    assert.deepEqual(await bench.store.cancelled(worker.id), [])
    assert.deepEqual(await bench.store.cancel({ backend: BACKEND, id: row.id }), { cancelled: [], signalled: [row.id] })
    assert.equal((await bench.get(row.id)).status, 'RUNNING')
    assert.deepEqual(await bench.store.cancelled(worker.id), [row.id])
    assert.deepEqual([...(await bench.store.renew(worker.id, { leaseMs: 60_000, running: 1 })).cancelled], [row.id])
    assert.deepEqual(await bench.store.cancelled((await bench.worker()).id), [])
    await worker.finish(ending(row, 'CANCELLED'))
    assert.equal((await bench.get(row.id)).status, 'CANCELLED')
    assert.deepEqual(await bench.store.cancelled(worker.id), [])
  })

  test('a retry of a row whose cancellation was asked for ends CANCELLED instead', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.store.cancel({ backend: BACKEND, id: row.id })
    const [finished] = await worker.finish(ending(row, 'READY'))
    assert.equal(finished?.status, 'CANCELLED')
    assert.equal((await bench.get(row.id)).status, 'CANCELLED')
  })

  test('a row that has ended is not cancelled, nor one of another backend, nor one that is not there', async (bench) => {
    const { row, worker } = await bench.running()
    await worker.finish(ending(row, 'SUCCESSFUL'))
    const other = await bench.insertOne({ backend: 'other' })
    for (const id of [row.id, other.id, newRow().id]) {
      assert.deepEqual(await bench.store.cancel({ backend: BACKEND, id }), { cancelled: [], signalled: [] })
    }
    assert.equal((await bench.get(other.id)).status, 'READY')
  })

  test('a cancellation takes every row that fits all of its filter, and no other', async (bench) => {
    const [a, b, c] = await bench.insert({ queue: 'q', tags: ['note:1'] }, { queue: 'q', tags: ['note:1', 'x'], task: 'other' }, { queue: 'r', tags: ['note:1'] }) as [Row, Row, Row]
    await bench.insert({ queue: 'q' }, { queue: 'q', tags: ['note:11'] }, { queue: 'q', tags: ['note:1'], backend: 'other' })
    assert.deepEqual(ids((await bench.store.cancel({ backend: BACKEND, queue: 'q', tag: 'note:1' })).cancelled).sort(), ids([a, b]).sort())
    assert.deepEqual(ids((await bench.store.cancel({ backend: BACKEND, task: 'test.task', tag: 'note:1', status: 'READY' })).cancelled), [c.id])
    assert.equal((await bench.store.list({ backend: BACKEND, status: 'READY', limit: 10 })).rows.length, 2)
    assert.equal((await bench.store.list({ backend: 'other', status: 'READY', limit: 10 })).rows.length, 1)
  })

  test('a row that was cancelled while it ran and is put back runs again, under the same worker too', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.store.cancel({ backend: BACKEND, id: row.id })
    await worker.finish(ending(row, 'CANCELLED', { errors: [] }))
    await bench.store.requeue({ backend: BACKEND, id: row.id })
    const again = await worker.claimEventually(row.id)
    assert.deepEqual(await bench.store.cancelled(worker.id), [], 'nobody has cancelled this attempt')
    assert.deepEqual([...(await bench.store.renew(worker.id, { leaseMs: 60_000, running: 1 })).cancelled], [])
    await worker.finish(ending(again, 'SUCCESSFUL'))
    assert.equal((await bench.get(row.id)).status, 'SUCCESSFUL')
  })

  test('a row that is cancelled and one that is handed back at the same moment ends CANCELLED', async (bench) => {
    const other = await bench.connect()
    for (let round = 0; round < 25; round++) {
      const { row, worker } = await bench.running()
      const [, { cancelled, signalled }] = await Promise.all([worker.release(row), other.cancel({ backend: BACKEND, id: row.id })])
      assert.equal(cancelled.length + signalled.length, 1, 'it had not ended, so it could be cancelled')
      assert.equal((await bench.get(row.id)).status, 'CANCELLED')
    }
  })

  test('a cancellation by filter leaves no READY row behind, however many there are and whoever claims meanwhile', async (bench) => {
    for (let batch = 0; batch < 3; batch++) await bench.insert(...Array.from({ length: 1_000 }, () => ({ queue: 'q' })))
    const [other, worker] = [await bench.connect(), await bench.worker()]
    const over = new AbortController()
    const claiming = (async () => { while (!over.signal.aborted) await worker.claim({ limit: 5 }) })()
    const { cancelled, signalled } = await other.cancel({ backend: BACKEND, queue: 'q' })
    over.abort()
    await claiming
    assert.deepEqual((await bench.store.list({ backend: BACKEND, status: 'READY', limit: 10 })).rows, [])
    assert.ok(cancelled.length + signalled.length >= 2_900)
  })

  test('a cancellation by filter takes READY rows and tells the workers of RUNNING ones', async (bench) => {
    const { row } = await bench.running({ tags: ['t'] })
    const ready = await bench.insertOne({ tags: ['t'] })
    const { cancelled, signalled } = await bench.store.cancel({ backend: BACKEND, tag: 't' })
    assert.deepEqual([ids(cancelled), signalled], [[ready.id], [row.id]])
  })

  test('a row that is cancelled and one that is claimed at the same moment is one of the two', async (bench) => {
    const other = await bench.connect()
    const worker = await bench.worker()
    for (let round = 0; round < 15; round++) {
      const { id } = await bench.insertOne()
      const [claimed, { cancelled, signalled }] = await Promise.all([worker.claim(), other.cancel({ backend: BACKEND, id })])
      const { status } = await bench.get(id)
      assert.equal(cancelled.length + signalled.length, 1)
      assert.equal(status, cancelled.length === 1 ? 'CANCELLED' : 'RUNNING')
      if (status === 'RUNNING') assert.deepEqual(ids(claimed), [id])
      else assert.deepEqual(claimed, [])
      for (const row of claimed) await worker.finish(ending(row, 'CANCELLED'))
    }
  })

  for (const status of ['FAILED', 'CANCELLED'] as const) {
    test(`a ${status} row that is put back is READY and due now, with its errors kept and its budgets new`, async (bench) => {
      const { row, worker } = await bench.running()
      await worker.finish(ending(row, status, { errors: [storedError()] }))
      assert.deepEqual(await bench.store.requeue({ backend: BACKEND, id: row.id }), [row.id])
      const after = await bench.get(row.id)
      assert.deepEqual([after.status, after.finishedAt, after.deaths], ['READY', null, 0])
      assert.deepEqual(after.errors, [storedError()])
      assert.ok(after.due >= row.due)
      const holder = await bench.worker()
      await holder.finish(ending(await holder.claimEventually(row.id), 'SUCCESSFUL'))
      assert.deepEqual(await bench.store.requeue({ backend: BACKEND, id: row.id }), [], 'a success is not put back')
    })
  }

  test('a row that was FAILED by its crash budget and is put back leaves its quarantine', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.bury(worker, 1)
    await bench.store.requeue({ backend: BACKEND, id: row.id })
    assert.deepEqual(ids(await (await bench.worker()).claim()), [row.id])
  })

  test('putting back by filter takes FAILED and CANCELLED rows that fit, and no others', async (bench) => {
    await bench.insert({ queue: 'q' }, { queue: 'q' }, { queue: 'q' }, { queue: 'r' })
    const worker = await bench.worker()
    const [a, b, c, d] = await worker.claim()
    await worker.finish(ending(a!, 'FAILED'), ending(b!, 'CANCELLED'), ending(c!, 'SUCCESSFUL'), ending(d!, 'FAILED'))
    assert.deepEqual((await bench.store.requeue({ backend: BACKEND, queue: 'q' })).sort(), ids([a!, b!]).sort())
    assert.deepEqual(await bench.store.requeue({ backend: BACKEND, queue: 'q' }), [])
    assert.equal((await bench.get(d!.id)).status, 'FAILED')
  })

  prune(test)
}

const prune: Chapter = (test) => {
  test('finished rows that are old enough are deleted, and READY and RUNNING ones never', async (bench) => {
    for (const status of ['SUCCESSFUL', 'FAILED', 'CANCELLED'] as const) await bench.inStatus(status)
    const kept = [(await bench.inStatus('RUNNING')).id, (await bench.inStatus('READY')).id]
    const request = { backend: BACKEND, minAgeMs: 0, failedMinAgeMs: 0 }
    await eventually(async () => { assert.equal(await bench.store.countPrunable(request), 3) })
    assert.deepEqual(await bench.store.prune({ ...request, limit: 100 }), { deleted: 3, after: null })
    assert.deepEqual(ids((await bench.store.list({ backend: BACKEND, limit: 100 })).rows).sort(), kept.sort())
  })

  test('rows that are not old enough stay, and FAILED ones have an age of their own', async (bench) => {
    await bench.inStatus('SUCCESSFUL')
    const failed = await bench.inStatus('FAILED')
    const hour = 3_600_000
    assert.equal((await bench.store.prune({ backend: BACKEND, minAgeMs: hour, failedMinAgeMs: hour, limit: 100 })).deleted, 0)
    assert.equal((await bench.store.prune({ backend: BACKEND, minAgeMs: 0, failedMinAgeMs: hour, limit: 100 })).deleted, 1)
    assert.equal((await bench.get(failed.id)).status, 'FAILED')
    assert.equal((await bench.store.prune({ backend: BACKEND, minAgeMs: null, failedMinAgeMs: null, limit: 100 })).deleted, 0)
    assert.equal((await bench.store.prune({ backend: BACKEND, minAgeMs: 0, failedMinAgeMs: null, cancelledMinAgeMs: null, limit: 100 })).deleted, 0)
    assert.equal((await bench.store.prune({ backend: BACKEND, minAgeMs: hour, failedMinAgeMs: 0, limit: 100 })).deleted, 1)
  })

  test('pruning goes in batches, the oldest first, and says when there may be more', async (bench) => {
    const rows = await bench.insert(...Array.from({ length: 7 }, () => ({})))
    await bench.store.cancel({ backend: BACKEND })
    const request = { backend: BACKEND, minAgeMs: 0, failedMinAgeMs: 0, limit: 3 }
    const first = await bench.store.prune(request)
    assert.deepEqual([first.deleted, first.after], [3, rows[2]!.id])
    assert.deepEqual(ids((await bench.store.list({ backend: BACKEND, limit: 10 })).rows).sort(), ids(rows.slice(3)).sort())
    const sizes: number[] = []
    for (let { after } = first; after !== null;) {
      const batch = await bench.store.prune({ ...request, after })
      sizes.push(batch.deleted)
      after = batch.after
    }
    assert.deepEqual(sizes, [3, 1])
  })

  test('a batch goes on behind a place', async (bench) => {
    const [first, second] = await bench.insert({}, {})
    await bench.store.cancel({ backend: BACKEND })
    const request = { backend: BACKEND, minAgeMs: 0, failedMinAgeMs: 0, limit: 10 }
    assert.equal((await bench.store.prune({ ...request, after: first!.id })).deleted, 1, 'behind the first')
    assert.deepEqual((await bench.store.list({ backend: BACKEND, limit: 10 })).rows.map(({ id }) => id), [first!.id])
    assert.equal(await bench.store.get(second!.id), null)
  })

  test('a row that holds its key for a time is kept for as long, and one whose time is over goes', async (bench) => {
    const held = await bench.insertOne({ unique: { key: 'k', scope: 600_000, onConflict: 'throw' } })
    await bench.insertOne({ unique: { key: 'l', scope: 1, onConflict: 'throw' } })
    await bench.store.cancel({ backend: BACKEND })
    const request = { backend: BACKEND, minAgeMs: 0, failedMinAgeMs: 0 }
    await eventually(async () => { assert.equal(await bench.store.countPrunable(request), 1) })
    assert.equal((await bench.store.prune({ ...request, limit: 10 })).deleted, 1)
    assert.equal((await bench.get(held.id)).status, 'CANCELLED')
    await assert.rejects(bench.insert({ unique: { key: 'k', scope: 600_000, onConflict: 'throw' } }), { code: 'FST_TASKS_NOT_UNIQUE' })
  })

  test('pruning keeps to its backend and its queues, and takes the tags and keys with the rows', async (bench) => {
    const unique = { key: 'k', scope: 'unfinished', onConflict: 'throw' } as const
    await bench.insert({ queue: 'a', tags: ['t'], unique }, { queue: 'b' }, { queue: 'a', backend: 'other' })
    await bench.store.cancel({ backend: BACKEND })
    await bench.store.cancel({ backend: 'other' })
    const request = { backend: BACKEND, minAgeMs: 0, failedMinAgeMs: 0, queues: ['a'] }
    assert.equal(await bench.store.countPrunable(request), 1)
    assert.equal((await bench.store.prune({ ...request, limit: 10 })).deleted, 1)
    assert.deepEqual((await bench.store.list({ backend: BACKEND, tag: 't', limit: 10 })).rows, [])
    assert.equal((await bench.store.list({ backend: 'other', limit: 10 })).rows.length, 1)
    await bench.insertOne({ queue: 'a', unique })
  })
}
