import assert from 'node:assert/strict'
import { BACKEND, ending, ids, type TestWorker } from './bench.js'
import type { Chapter } from './suite.js'
import type { ClaimedRow, NewRow, Row, RowLimits } from '../../store/store.js'
import { eventually } from '../eventually.js'

/** Concurrency keys and the concurrency of queues: across all workers, never one too many, and never stuck. */
export const limitedChapter: Chapter = (test) => {
  test('rows under a concurrency key are claimed up to its limit, in order, and others as these end', async (bench) => {
    const rows = await bench.insert(...Array.from({ length: 5 }, () => under('k', 2)))
    const worker = await bench.worker()
    const first = await claimed(worker)
    assert.deepEqual(ids(first), ids(rows.slice(0, 2)))
    assert.deepEqual(await claimed(worker), [])
    await worker.finish(ending(first[0]!, 'SUCCESSFUL'))
    assert.deepEqual(ids(await claimed(worker)), [rows[2]!.id])
    await worker.finish(ending(first[1]!, 'FAILED'))
    assert.deepEqual(ids(await claimed(worker)), [rows[3]!.id])
  })

  test('a key of 1 is serial in the order of priority, then of due, then of the enqueue, whatever was enqueued first', async (bench) => {
    const [low, early, late, high] = await bench.insert({ ...under('k'), priority: -1 }, under('k'), under('k'), { ...under('k'), priority: 9 }) as [Row, Row, Row, Row]
    const worker = await bench.worker()
    const order: string[] = []
    for (let turn = 0; turn < 4; turn++) order.push(...await runAll(worker))
    assert.deepEqual(order, ids([high, early, late, low]))
  })

  test('a row under a key is RUNNING like any other: charged, with a token, in no lane before', async (bench) => {
    const { id } = await bench.insertOne(under('k'))
    assert.deepEqual((await bench.store.lanes({ backend: BACKEND })).lanes, [])
    assert.equal((await bench.store.lanes({ backend: BACKEND })).limited, true)
    const worker = await bench.worker()
    assert.deepEqual(await worker.claim(), [])
    const [row] = await claimed(worker)
    assert.deepEqual([row?.id, row?.status, row?.attempts, row?.workerIds, row?.limited], [id, 'RUNNING', 1, [worker.id], true])
    assert.deepEqual((await bench.store.renew(worker.id, { leaseMs: 60_000, running: 1 })).claims, [row?.claim])
    assert.equal((await bench.store.lanes({ backend: BACKEND })).limited, false)
  })

  test('keys do not limit each other, nor rows without one, nor another backend', async (bench) => {
    const rows = await bench.insert(under('a'), under('b'), under('A'), {})
    const [other] = await bench.insert({ ...under('a'), backend: 'other' })
    const worker = await bench.worker()
    assert.deepEqual(ids([...await claimed(worker), ...await worker.claim()]).sort(), ids(rows).sort())
    assert.deepEqual(ids(await claimed(await bench.worker({ backend: 'other' }))), [other!.id])
  })

  test('a key is held across tasks and queues', async (bench) => {
    await bench.insert(under('k'), { ...under('k'), task: 'other', queue: 'mails' })
    const worker = await bench.worker({ tasks: ['test.task', 'other'] })
    assert.equal((await claimed(worker)).length, 1)
    assert.equal((await claimed(worker)).length, 0)
  })

  test('a waiting retry holds a key of 1, and is claimed first when it is due', async (bench) => {
    const [first, second] = await bench.insert(under('k'), under('k')) as [Row, Row]
    const worker = await bench.worker()
    const [row] = await claimed(worker)
    await worker.finish(ending(row!, 'READY', { delay: 1_000 }))
    const early = await claimed(worker) // on a slow machine it may be due by then: what is claimed is it, and not before
    assert.ok(early.length <= 1)
    const again = early[0] ?? await claimedEventually(worker)
    assert.equal(again.id, first.id)
    assert.ok((again.lastAttemptedAt ?? 0) >= again.due, 'not before it is due')
    await worker.finish(ending(again, 'SUCCESSFUL'))
    assert.deepEqual(ids(await claimed(worker)), [second.id])
  })

  test('a waiting retry that is cancelled gives its key away', async (bench) => {
    const [first, second] = await bench.insert(under('k'), under('k')) as [Row, Row]
    const worker = await bench.worker()
    const [row] = await claimed(worker)
    await worker.finish(ending(row!, 'READY', { delay: 3_600_000 }))
    await bench.store.cancel({ backend: BACKEND, id: first.id })
    assert.deepEqual(ids(await claimed(worker)), [second.id])
  })

  test('under a larger key a waiting retry holds nothing', async (bench) => {
    const rows = await bench.insert(under('k', 2), under('k', 2), under('k', 2)) as Row[]
    const worker = await bench.worker()
    const [row] = await claimed(worker)
    await worker.finish(ending(row!, 'READY', { delay: 3_600_000 }))
    assert.deepEqual(ids(await claimed(worker)), [rows[2]!.id])
  })

  test('a deferred row does not hold its key', async (bench) => {
    const [, ready] = await bench.insert({ ...under('k'), priority: 100, delay: 3_600_000 }, under('k')) as [Row, Row]
    assert.deepEqual(ids(await claimed(await bench.worker())), [ready.id])
  })

  test('the store says when a deferred row under a key is due', async (bench) => {
    const { due } = await bench.insertOne({ ...under('k'), delay: 3_600_000 })
    const heads = await bench.store.limitedHeads({ backend: BACKEND, tasks: ['test.task'], after: null })
    assert.deepEqual([heads.heads, heads.nextDue], [[], due])
    assert.ok(heads.now < due)
  })

  test('what is handed back gives its key away and is first in the order again', async (bench) => {
    const rows = await bench.insert(under('k'), under('k')) as Row[]
    const worker = await bench.worker()
    const [row] = await claimed(worker)
    await worker.release(row!)
    const [again] = await claimed(worker)
    assert.deepEqual([again?.id, again?.attempts], [rows[0]!.id, 1])
  })

  test('a key whose worker died is free with its rows', async (bench) => {
    const [first, second] = await bench.insert(under('k'), under('k')) as [Row, Row]
    const dead = await bench.worker()
    await claimed(dead)
    await bench.bury(dead)
    const worker = await bench.worker()
    const [again] = await claimed(worker)
    assert.deepEqual([again?.id, again?.deaths], [first.id, 1])
    await worker.finish(ending(again!, 'SUCCESSFUL'))
    assert.deepEqual(ids(await claimed(worker)), [second.id])
  })

  test('a key is free when the crash budget of the row that held it is spent', async (bench) => {
    const [first, second] = await bench.insert(under('k'), under('k')) as [Row, Row]
    const dead = await bench.worker()
    await claimed(dead)
    await bench.bury(dead, 1)
    assert.equal((await bench.get(first.id)).status, 'FAILED')
    assert.deepEqual(ids(await claimed(await bench.worker())), [second.id])
  })

  test('a row under a key that killed its process twice is claimed in quarantine, and its key waits for it', async (bench) => {
    const [first] = await bench.insert(under('k'), under('k')) as [Row, Row]
    for (let death = 0; death < 2; death++) {
      const dead = await bench.worker()
      assert.deepEqual(ids(await claimed(dead)), [first.id])
      await bench.bury(dead)
    }
    const worker = await bench.worker()
    assert.deepEqual(await claimed(worker), [])
    assert.equal((await bench.store.stats(BACKEND)).queues['default']?.ready, 2, 'the row in quarantine is counted too')
    const limited = async (quarantined: boolean): Promise<unknown> => (await bench.store.lanes({ backend: BACKEND, quarantined })).limited
    assert.deepEqual([await limited(true), await limited(false)], [true, true])
    const plain = await bench.insertOne()
    assert.deepEqual(ids(await worker.claim()), [plain.id])
    assert.deepEqual(ids((await worker.claimLimited({ quarantined: true })).rows), [first.id])
    assert.equal(await limited(true), false, 'rows with limits that are not quarantined do not count')
  })

  test('no key is ever held by more than its limit, however many claim at once', async (bench) => {
    const rows = await bench.insert(...Array.from({ length: 60 }, (_, index) => under(`k${index % 3}`, 2)))
    const keyOf = new Map(rows.map(({ id }, index) => [id, `k${index % 3}`]))
    const stores = [bench.store, await bench.connect(), await bench.connect()]
    const workers = await Promise.all(stores.flatMap((store) => [store, store]).map(async (store) => await bench.worker({ store })))
    const running = new Map<string, number>()
    let ended = 0
    await Promise.all(workers.map(async (worker) => {
      for (const deadline = performance.now() + 90_000; ended < rows.length;) {
        assert.ok(performance.now() < deadline, `all of it ends; ${ended} have`)
        const batch = await claimed(worker, 7)
        for (const { id } of batch) {
          const key = keyOf.get(id) as string
          running.set(key, (running.get(key) ?? 0) + 1)
          assert.ok(running.get(key)! <= 2, `${running.get(key)} of ${key} at a time`)
        }
        for (const row of batch) {
          // Counted down before the store is told: it may let the next one through at once.
          running.set(keyOf.get(row.id) as string, running.get(keyOf.get(row.id) as string)! - 1)
          await worker.finish(ending(row, 'SUCCESSFUL'))
          ended += 1
        }
      }
    }))
    assert.equal(ended, rows.length)
  })

  test('a key with very many rows does not keep others waiting', async (bench) => {
    await bench.insert(...Array.from({ length: 2_000 }, () => under('tenant-1', 2)))
    const [small, free] = await bench.insert(under('tenant-2', 2), {}) as [Row, Row]
    const worker = await bench.worker()
    const batch = ids(await claimed(worker, 10))
    assert.equal(batch.length, 3)
    assert.ok(batch.includes(small.id))
    assert.deepEqual(ids(await worker.claim()), [free.id])
  })

  test('rows under a key are paused with their queue, and are cancelled, counted and put back like others', async (bench) => {
    const [first] = await bench.insert({ ...under('k'), queue: 'mails' }, { ...under('k'), queue: 'mails' }, { ...under('k'), queue: 'mails', delay: 3_600_000 }) as [Row]
    await bench.store.pause(BACKEND, 'mails')
    const worker = await bench.worker()
    assert.deepEqual(await claimed(worker), [])
    const { ready, deferred, paused } = (await bench.store.stats(BACKEND)).queues['mails']!
    assert.deepEqual([ready, deferred, paused], [2, 1, true])
    await bench.store.resume(BACKEND, 'mails')
    const [row] = await claimed(worker)
    assert.equal(row?.id, first.id)
    await worker.finish(ending(row!, 'FAILED'))
    assert.equal((await bench.store.cancel({ backend: BACKEND, queue: 'mails' })).cancelled.length, 2)
    assert.equal((await bench.store.requeue({ backend: BACKEND, queue: 'mails' })).length, 3)
    assert.equal((await claimed(worker)).length, 1)
  })

  test('a row under a key whose task the worker does not know stays READY and blocks nobody', async (bench) => {
    const [ghost, known] = await bench.insert({ ...under('k'), task: 'ghost', priority: 100 }, under('k')) as [Row, Row]
    assert.deepEqual(ids(await claimed(await bench.worker())), [known.id])
    const { status, attempts } = await bench.get(ghost.id)
    assert.deepEqual([status, attempts], ['READY', 0])
    assert.deepEqual((await bench.store.stats(BACKEND)).unknownTasks, [{ name: 'ghost', ready: 1 }])
  })

  test('a retry that keeps its key, and whose task no live worker knows any more, gives it away when it is parked, and takes its turn when it is known again', async (bench) => {
    const ghost = await bench.insertOne({ ...under('k'), task: 'ghost' })
    const old = await bench.worker({ tasks: ['ghost', 'test.task'] })
    const [first] = await claimed(old)
    assert.equal(first?.id, ghost.id)
    await old.finish(ending(first!, 'READY'))
    const known = await bench.insertOne(under('k'))
    await bench.bury(old)
    const worker = await bench.worker()
    assert.deepEqual(await claimed(worker), [], 'the retry keeps it')
    await eventually(async () => {
      const { strange = [] } = await bench.store.limitedHeads({ backend: BACKEND, tasks: worker.tasks, quarantined: false, after: null })
      assert.equal(await bench.store.park({ backend: BACKEND, tasks: worker.tasks, lanes: [], groups: strange }), 1)
    })
    const [second] = await claimed(worker)
    assert.equal(second?.id, known.id)
    const fresh = await bench.worker({ tasks: ['ghost', 'test.task'] })
    assert.equal(await bench.store.unpark({ backend: BACKEND, tasks: fresh.tasks }), 1)
    assert.deepEqual(await claimed(fresh), [], 'another has it by now')
    await worker.finish(ending(second!, 'SUCCESSFUL'))
    assert.deepEqual(ids(await claimed(fresh)), [ghost.id])
  })

  test('a worker whose lease has run out claims no rows under keys', async (bench) => {
    const worker = await bench.worker()
    await bench.insertOne(under('k'))
    await bench.bury(worker)
    assert.deepEqual(await claimed(worker), [])
    assert.equal((await claimed(await bench.worker())).length, 1)
  })

  test('under a unique key, `replace` takes the limits over with all else', async (bench) => {
    const unique = { key: 'u', scope: 'unfinished', onConflict: 'replace' } as const
    const row = await bench.insertOne({ unique })
    await bench.insert({ ...under('k'), unique })
    const worker = await bench.worker()
    assert.deepEqual(await worker.claim(), [])
    await bench.insert({ unique })
    assert.deepEqual(ids(await worker.claim()), [row.id])
  })

  test('of many keys, of lanes, and of retries that hold their keys, one claim takes the first of all in their order', async (bench) => {
    const [retried, , behind] = await bench.insert(under('r'), { ...under('r'), priority: 3 }, under('r')) as [Row, Row, Row]
    const worker = await bench.worker()
    const [high] = await claimed(worker)
    await worker.finish(ending(high!, 'SUCCESSFUL'))
    const [row] = await claimed(worker)
    assert.equal(row?.id, retried.id)
    await worker.finish(ending(row, 'READY', { delay: 0 }))
    const free = await bench.insertOne({ priority: 2 })
    const keyed = await bench.insert(...['a', 'b', 'c', 'd', 'e'].map((key, nth) => ({ ...under(key), priority: nth === 4 ? 5 : 0 })), under('a'))
    const { rows } = await worker.claimLimited({ lanes: [{ queue: 'default', priority: 2, after: null }] })
    const [a, b, c, d, e] = keyed as [Row, Row, Row, Row, Row]
    assert.deepEqual(ids(rows).slice(0, 2), [e.id, free.id], 'by priority')
    assert.deepEqual(ids(rows).slice(2).sort(), ids([retried, a, b, c, d]).sort(), 'and of each key the first, or its retry')
    assert.ok(!ids(rows).includes(behind.id))
  })

  test('a queue that has a concurrency limit runs no more than that, also of rows that were stored before it had one', async (bench) => {
    const queues = new Map([['small', { concurrency: 2, rate: null }]])
    const rows = await bench.insert(...Array.from({ length: 2 }, () => ({ queue: 'small' })), ...Array.from({ length: 3 }, () => ({ queue: 'small', limits: NONE })))
    const other = await bench.insertOne({ queue: 'large', limits: NONE })
    assert.equal(await bench.store.limitQueues(BACKEND, ['small']), 2)
    const worker = await bench.worker()
    const { rows: first } = await worker.claimLimited({ queues })
    assert.deepEqual(ids(first).sort(), ids([rows[0]!, rows[1]!, other]).sort())
    assert.deepEqual((await (await bench.worker()).claimLimited({ queues })).rows, [])
    await worker.finish(ending(first.find(({ id }) => id === rows[0]!.id)!, 'READY', { delay: 3_600_000 }))
    assert.deepEqual(ids((await worker.claimLimited({ queues })).rows), [rows[2]!.id])
  })
}

const NONE: RowLimits = { key: null, concurrency: 1, rate: null }

function under (key: string, concurrency = 1): Partial<NewRow> {
  return { limits: { key, concurrency, rate: null } }
}

async function claimed (worker: TestWorker, limit = 100): Promise<ClaimedRow[]> {
  return (await worker.claimLimited({ limit })).rows
}

async function claimedEventually (worker: TestWorker): Promise<ClaimedRow> {
  return await eventually(async () => {
    const [row] = await claimed(worker)
    assert.ok(row !== undefined, 'a row is claimed in the end')
    return row
  })
}

async function runAll (worker: TestWorker): Promise<string[]> {
  const rows = await claimed(worker)
  await worker.finish(...rows.map((row) => ending(row, 'SUCCESSFUL')))
  return ids(rows)
}
