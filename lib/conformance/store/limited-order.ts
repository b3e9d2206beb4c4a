import assert from 'node:assert/strict'
import { BACKEND, ending, ids } from './bench.js'
import type { Chapter } from './suite.js'
import type { ClaimLimits, NewRow, Row, RowLimits } from '../../store/store.js'

const HOUR_MS = 3_600_000
const LANES = [9, 5, 0].map((priority) => ({ queue: 'default', priority, after: null }))

/** One order for rows with limits and without, and what holds among rows of one key that say different things. */
export const limitedOrderChapter: Chapter = (test) => {
  test('rows with limits and rows without are claimed in one order, as many as asked for', async (bench) => {
    const rows = await bench.insert(
      { priority: 5 }, { ...under('a'), priority: 9 }, {}, { ...under('b'), priority: 5 }, { priority: 9 }, under('c'), {}, { ...under('a'), priority: 9 }
    )
    const worker = await bench.worker()
    const order = [1, 4, 0, 3, 2, 5, 6].map((place) => rows[place]!.id)
    for (const [first, limit] of [[0, 3], [3, 2], [5, 10]] as const) {
      const { rows: claimed } = await worker.claimLimited({ lanes: LANES, limit })
      assert.deepEqual(ids(claimed), order.slice(first, first + limit))
      assert.deepEqual(claimed.map(({ limited = false }) => limited), claimed.map(({ id }) => [1, 3, 5].some((place) => rows[place]!.id === id)))
    }
    assert.equal((await bench.get(rows[7]!.id)).status, 'READY')
  })

  test('a claim that is to take nothing while rows with limits are stored takes nothing, and all of it once they are gone', async (bench) => {
    const plain = await bench.insert({ priority: 9 }, {})
    const limited = await bench.insertOne(under('k'))
    const worker = await bench.worker()
    assert.deepEqual(await worker.claim({ unlessLimited: true }), [])
    assert.deepEqual(await worker.claimAny({ unlessLimited: true }), [])
    await bench.store.cancel({ backend: BACKEND, id: limited.id })
    assert.deepEqual(ids(await worker.claim({ unlessLimited: true, limit: 1 })), [plain[0]!.id])
    assert.deepEqual(ids(await worker.claimAny({ unlessLimited: true })), [plain[1]!.id])
  })

  test('rows with limits of another backend keep nobody waiting', async (bench) => {
    await bench.insert({ ...under('k'), backend: 'other' })
    const row = await bench.insertOne()
    assert.deepEqual(ids(await (await bench.worker()).claim({ unlessLimited: true })), [row.id])
  })

  test('where rows of one key ask for different limits, none has more company than it asked for', async (bench) => {
    const rows = await bench.insert(under('k', 3), under('k', 2), under('k', 3), under('k', 1), under('k', 3), under('k', 3)) as Row[]
    const worker = await bench.worker()
    const first = (await worker.claimLimited()).rows
    assert.deepEqual(ids(first), ids(rows.slice(0, 2)), 'two, because one of them allows no more')
    await worker.finish(ending(first[0]!, 'SUCCESSFUL'))
    const second = (await worker.claimLimited()).rows
    assert.deepEqual(ids(second), [rows[2]!.id])
    await worker.finish(ending(first[1]!, 'SUCCESSFUL'))
    assert.deepEqual(ids((await worker.claimLimited()).rows), [], 'the one that is to run alone comes first, and waits')
    await worker.finish(ending(second[0]!, 'SUCCESSFUL'))
    const alone = (await worker.claimLimited()).rows
    assert.deepEqual(ids(alone), [rows[3]!.id])
    assert.deepEqual(ids((await worker.claimLimited()).rows), [])
    await worker.finish(ending(alone[0]!, 'SUCCESSFUL'))
    assert.deepEqual(ids((await worker.claimLimited()).rows), ids(rows.slice(4)))
  })

  test('under a key of 1, what comes first and waits for a rate is not overtaken; under a larger one it is', async (bench) => {
    for (const concurrency of [1, 2]) {
      const rate = { name: `r${concurrency}`, max: 1, every: HOUR_MS }
      const key = `k${concurrency}`
      const spent = await bench.insertOne({ limits: { key: null, concurrency: 1, rate } })
      const worker = await bench.worker()
      assert.deepEqual(ids((await worker.claimLimited()).rows), [spent.id])
      const [, behind] = await bench.insert({ limits: { key, concurrency, rate } }, under(key, concurrency)) as [Row, Row]
      assert.deepEqual(ids((await worker.claimLimited()).rows), concurrency === 1 ? [] : [behind.id])
    }
  })

  test('deferred rows of a higher priority keep no row of their group waiting', async (bench) => {
    await bench.insert(...Array.from({ length: 3 }, (_, index) => ({ ...under('k'), priority: 9 - index, delay: HOUR_MS })))
    const row = await bench.insertOne(under('k'))
    assert.deepEqual(ids((await (await bench.worker()).claimLimited()).rows), [row.id])
  })

  test('a paused queue with limits gives nothing, and goes on where it was', async (bench) => {
    const queues = new Map<string, ClaimLimits>([['small', { concurrency: 1, rate: null }]])
    const none: RowLimits = { key: null, concurrency: 1, rate: null }
    const rows = await bench.insert({ queue: 'small', limits: none }, { queue: 'small', limits: none }) as Row[]
    const worker = await bench.worker()
    await bench.store.pause(BACKEND, 'small')
    assert.deepEqual((await worker.claimLimited({ queues })).rows, [])
    await bench.store.resume(BACKEND, 'small')
    const { rows: [first] } = await worker.claimLimited({ queues })
    assert.equal(first?.id, rows[0]!.id)
    await worker.release(first!)
    assert.deepEqual(ids((await worker.claimLimited({ queues })).rows), [rows[0]!.id], 'what was handed back gives its place back')
  })

  test('rows that were stored before their queue had a limit come behind it in the order of claims, a thousand at a time', async (bench) => {
    const many = (count: number, row: Partial<NewRow>): Array<Partial<NewRow>> => Array.from({ length: count }, () => ({ queue: 'late', ...row }))
    await bench.insert(...many(50, { priority: -1 }), ...many(50, { delay: 3_600_000 }))
    await bench.insert(...many(999, {}))
    await bench.insert(...many(1, { priority: 100 }))
    const left = async (): Promise<Array<[number, boolean]>> => {
      const { lanes, now } = await bench.store.lanes({ backend: BACKEND })
      return lanes.map(({ priority, due }): [number, boolean] => [priority, due <= now]).sort(([a], [b]) => b - a)
    }
    assert.deepEqual(await left(), [[100, true], [0, true], [-1, true]])
    assert.equal(await bench.store.limitQueues(BACKEND, ['late']), 1_000)
    assert.deepEqual(await left(), [[0, false], [-1, true]])
    assert.equal(await bench.store.limitQueues(BACKEND, ['late']), 100)
    assert.deepEqual([await left(), await bench.store.limitQueues(BACKEND, ['late'])], [[], 0])
  })

  test('of several such queues each has a share of the thousand, and what one leaves of its share is for the others', async (bench) => {
    await bench.insert(...Array.from({ length: 1_000 }, () => ({ queue: 'large', priority: 1 })))
    await bench.insert({ queue: 'small' }, ...Array.from({ length: 99 }, () => ({ queue: 'large' })))
    assert.equal(await bench.store.limitQueues(BACKEND, ['small', 'large']), 1_000)
    assert.deepEqual((await bench.store.lanes({ backend: BACKEND })).lanes.map(({ queue }) => queue), ['large', 'large'])
    await bench.insert({ queue: 'small' })
    assert.equal(await bench.store.limitQueues(BACKEND, ['large', 'small']), 101)
  })
}

function under (key: string, concurrency = 1): Partial<NewRow> {
  return { limits: { key, concurrency, rate: null } }
}
