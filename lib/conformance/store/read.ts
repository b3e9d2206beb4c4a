import assert from 'node:assert/strict'
import { eventually } from '../eventually.js'
import { v7 as uuid } from 'uuid'
import { BACKEND, ending, ids, newRow, type Bench } from './bench.js'
import type { Chapter } from './suite.js'
import type { Row } from '../../store/store.js'

/** Lists, figures, and being told. */
export const readChapter: Chapter = (test) => {
  test('a list is newest first, in pages that neither repeat nor leave out, whatever is added meanwhile', async (bench) => {
    const rows = await bench.insert(...Array.from({ length: 25 }, () => ({})))
    const listed: string[] = []
    let after: string | undefined
    for (let page = 0; page < 10; page++) {
      const { rows: found, next } = await bench.store.list({ backend: BACKEND, limit: 10, ...(after !== undefined && { after }) })
      listed.push(...ids(found))
      if (page === 0) await bench.insertOne()
      if (next === null) break
      after = next
    }
    assert.deepEqual(listed, ids(rows).reverse())
  })

  test('a list that ends exactly at a page has no next one, and an empty one has none either', async (bench) => {
    assert.deepEqual(await bench.store.list({ backend: BACKEND, limit: 5 }), { rows: [], next: null })
    await bench.insert({}, {}, {}, {}, {})
    const { rows, next } = await bench.store.list({ backend: BACKEND, limit: 5 })
    assert.deepEqual([rows.length, next], [5, null])
  })

  test('a list is narrowed by status, queue, task and tag, alone and together, and never by another backend', async (bench) => {
    const [a, b, c] = ids(await bench.insert({ queue: 'q', tags: ['x', 'y'] }, { task: 'other', tags: ['x'] }, { queue: 'q', task: 'other' }))
    await bench.insertOne({ backend: 'other', queue: 'q', task: 'other', tags: ['x'] })
    await bench.store.cancel({ backend: BACKEND, id: c! })
    const found = async (filter: object): Promise<string[]> => ids((await bench.store.list({ backend: BACKEND, limit: 10, ...filter })).rows)
    assert.deepEqual(await found({}), [c, b, a])
    assert.deepEqual(await found({ queue: 'q' }), [c, a])
    assert.deepEqual(await found({ task: 'other' }), [c, b])
    assert.deepEqual(await found({ tag: 'x' }), [b, a])
    assert.deepEqual(await found({ tag: 'y', queue: 'q' }), [a])
    assert.deepEqual(await found({ status: 'CANCELLED' }), [c])
    assert.deepEqual(await found({ status: 'READY', task: 'other' }), [b])
    assert.deepEqual(await found({ status: 'FAILED' }), [])
    assert.deepEqual(await found({ tag: 'x', after: b }), [a])
  })

  test('a list is narrowed by when rows were enqueued and when they ended: from the first moment on, and before the second', async (bench) => {
    const [a, b, c] = [await apart(bench), await apart(bench), await apart(bench)]
    await bench.store.cancel({ backend: BACKEND, id: b.id })
    const ended = (await bench.get(b.id)).finishedAt as number
    const found = async (filter: object): Promise<string[]> => ids((await bench.store.list({ backend: BACKEND, limit: 10, ...filter })).rows)
    assert.deepEqual(await found({ enqueuedAfter: b.enqueuedAt }), [c.id, b.id])
    assert.deepEqual(await found({ enqueuedBefore: b.enqueuedAt }), [a.id])
    assert.deepEqual(await found({ enqueuedAfter: a.enqueuedAt, enqueuedBefore: c.enqueuedAt }), [b.id, a.id])
    assert.deepEqual(await found({ enqueuedAfter: b.enqueuedAt, enqueuedBefore: b.enqueuedAt }), [])
    assert.deepEqual(await found({ enqueuedAfter: c.enqueuedAt + 1 }), [])
    assert.deepEqual(await found({ finishedAfter: 0 }), [b.id], 'what has not ended fits no such moment')
    assert.deepEqual(await found({ finishedAfter: ended, finishedBefore: ended + 1 }), [b.id])
    assert.deepEqual(await found({ finishedBefore: ended }), [])
    assert.deepEqual(await found({ status: 'CANCELLED', enqueuedBefore: c.enqueuedAt, finishedAfter: ended }), [b.id])
    assert.deepEqual(await found({ enqueuedBefore: c.enqueuedAt, after: b.id }), [a.id])
  })

  test('a moment is that of the database, also where the id was made by a host whose clock is hours off', async (bench) => {
    const before = await apart(bench)
    const hours = 5 * 3_600_000
    const [ahead, behind] = [await apart(bench, Date.now() + hours), await apart(bench, Date.now() - hours)]
    const after = await apart(bench)
    const { rows } = await bench.store.list({ backend: BACKEND, enqueuedAfter: ahead.enqueuedAt, enqueuedBefore: after.enqueuedAt, limit: 10 })
    assert.deepEqual(ids(rows), [ahead.id, behind.id])
    assert.deepEqual(ids((await bench.store.list({ backend: BACKEND, enqueuedBefore: ahead.enqueuedAt, limit: 10 })).rows), [before.id])
  })

  test('what is rare is found however many rows of other kinds lie between', async (bench) => {
    const task = 'rare'
    const [first] = ids(await bench.insert({ task, tags: ['t'] }, ...Array.from({ length: 1_100 }, () => ({ tags: ['t'] }))))
    const [second] = ids(await bench.insert({ task, tags: ['t'], queue: 'q' }, ...Array.from({ length: 1_100 }, () => ({}))))
    const all = async (filter: object): Promise<string[]> => {
      const page = await bench.store.list({ backend: BACKEND, limit: 1, ...filter })
      return page.next === null ? ids(page.rows) : [...ids(page.rows), ...await all({ ...filter, after: page.next })]
    }
    for (const filter of [{ task }, { task, tag: 't' }, { task, status: 'READY' }]) assert.deepEqual(await all(filter), [second, first])
    assert.deepEqual(await all({ task, queue: 'q' }), [second])
    assert.deepEqual(await all({ task: 'none' }), [])
  })

  test('a running result is listed once, though a worker that handed it back has it in a batch', async (bench) => {
    await bench.insert({}, {})
    const first = await bench.worker()
    const [kept, returned] = await first.claim({ limit: 2 })
    await first.release(returned!)
    const [again] = await (await bench.worker()).claim({ limit: 1 })
    const { rows } = await bench.store.list({ backend: BACKEND, status: 'RUNNING', limit: 10 })
    assert.deepEqual(rows.map(({ id }) => id).sort(), [kept!.id, again!.id].sort())
  })

  test('the same tag twice is one tag', async (bench) => {
    const { id } = await bench.insertOne({ tags: ['x', 'x'] })
    assert.deepEqual(ids((await bench.store.list({ backend: BACKEND, tag: 'x', limit: 10 })).rows), [id])
  })

  test('figures count what is ready, deferred, running and failed by queue, and how long the oldest has waited', async (bench) => {
    await bench.insert({ queue: 'a' }, { queue: 'a' }, { queue: 'a', delay: 3_600_000 }, { queue: 'b' }, { backend: 'other', queue: 'a' })
    const worker = await bench.worker()
    const [row] = await worker.claim({ limit: 1, queues: ['b'] })
    await worker.finish(ending(row!, 'FAILED'))
    await worker.claim({ limit: 1, queues: ['a'] })
    const { queues, approximate } = await bench.store.stats(BACKEND)
    assert.equal(approximate, false)
    const { oldestReadyMs, ...a } = queues['a']!
    assert.deepEqual(a, { ready: 1, deferred: 1, running: 1, failed: 0, paused: false })
    assert.ok(oldestReadyMs !== null && oldestReadyMs >= 0 && oldestReadyMs < 60_000)
    assert.deepEqual(queues['b'], { ready: 0, deferred: 0, running: 0, failed: 1, oldestReadyMs: null, paused: false })
  })

  test('figures above 10,000 rows are said to be estimates, and are near the truth however new the rows are', async (bench) => {
    for (let thousands = 0; thousands < 24; thousands++) await bench.store.insert(Array.from({ length: 1_000 }, () => newRow({ queue: 'a' })))
    const { queues, approximate } = await bench.store.stats(BACKEND)
    assert.equal(approximate, true)
    const { ready } = queues['a']!
    assert.ok(ready > 18_000 && ready < 30_000, `${ready} of 24,000`)
  })

  test('figures name the live workers, and the READY rows that none of them knows', async (bench) => {
    await bench.insert({ task: 'ghost' }, { task: 'ghost' }, { task: 'known' })
    const worker = await bench.worker({ tasks: ['known'] })
    const [row] = await worker.claim({ limit: 1 })
    const { workers, unknownTasks } = await bench.store.stats(BACKEND)
    assert.deepEqual(workers.map(({ id, running }) => [id, running]), [[worker.id, 1]], 'as soon as it runs')
    assert.ok(Math.abs(workers[0]!.lastSeen - (await bench.insertOne({ task: 'known' })).enqueuedAt) < 60_000)
    assert.deepEqual(unknownTasks, [{ name: 'ghost', ready: 2 }])
    await worker.finish(ending(row!, 'SUCCESSFUL'))
    assert.deepEqual((await bench.store.stats(BACKEND)).workers.map(({ running }) => running), [0])
    const knows = await bench.worker({ tasks: ['ghost'] })
    assert.deepEqual((await bench.store.stats(BACKEND)).unknownTasks, [])
    await bench.store.deregister(knows.id)
    assert.deepEqual((await bench.store.stats(BACKEND)).unknownTasks, [{ name: 'ghost', ready: 2 }])
  })

  test('the database answers', async ({ store }) => {
    await store.ping()
  })

  test('who watches a row hears of its end, and nothing after it stops watching', async (bench) => {
    const { row, worker } = await bench.running()
    let heard = 0
    const unwatch = await bench.store.watch(row.id, () => { heard++ })
    await worker.finish(ending(row, 'SUCCESSFUL'))
    await eventually(() => { assert.ok(heard > 0) })
    await unwatch()
  })

  test('who listens hears of new rows, or is told that only polling helps', async (bench) => {
    const other = await bench.connect()
    let heard = 0
    const listener = await bench.store.listen(() => { heard++ })
    const second = await bench.store.listen(() => {})
    await second.close()
    await eventually(async () => {
      await other.insert([newRow()])
      await new Promise((resolve) => setTimeout(resolve, 20))
      assert.ok(heard > 0 || !listener.healthy())
    })
    await listener.close()
  })

  test('migrating again does nothing, and a store that opens at the same time waits for it', async (bench) => {
    assert.deepEqual(await bench.store.migrate(), [])
    const stores = await Promise.all([bench.connect(), bench.connect(), bench.connect()])
    for (const store of stores) assert.deepEqual(await store.migrate(), [])
  })
}

/** A row that was enqueued in a millisecond of its own. */
async function apart (bench: Bench, clock = Date.now()): Promise<Row> {
  await new Promise((resolve) => setTimeout(resolve, 3))
  const row = await bench.insertOne({ id: uuid({ msecs: clock }) })
  await new Promise((resolve) => setTimeout(resolve, 3))
  return row
}
