import assert from 'node:assert/strict'
import { ending, ids, type Bench, type TestWorker } from './bench.js'
import type { Chapter } from './suite.js'
import type { ClaimedRow, ClaimLimits, NewRow, Row } from '../../store/store.js'

const HOUR_MS = 3_600_000

/** Rate limits: never more starts than allowed in any time of the length given, by the database's clock. */
export const rateChapter: Chapter = (test) => {
  test('no more rows of a rate are claimed than it allows, and the store says when the next may be', async (bench) => {
    const rows = await bench.insert(...Array.from({ length: 5 }, () => rated({ max: 3 })))
    const { rows: first, nextIn } = await (await bench.worker()).claimLimited()
    assert.deepEqual(ids(first), ids(rows.slice(0, 3)))
    assert.ok(nextIn !== null && nextIn > HOUR_MS - 60_000 && nextIn <= HOUR_MS + 60_000, `${nextIn} ms`)
    const again = await (await bench.worker()).claimLimited()
    assert.deepEqual(again.rows, [])
    assert.ok(again.nextIn !== null && again.nextIn > HOUR_MS - 60_000)
  })

  test('in any time of the length of a rate no more start than it allows, however many claim at once', async (bench) => {
    const [max, every] = [3, 150]
    const rows = await bench.insert(...Array.from({ length: 10 }, () => rated({ max, every })))
    const stores = [bench.store, await bench.connect()]
    const workers = await Promise.all([...stores, ...stores].map(async (store) => await bench.worker({ store })))
    const starts = (await drainAll(workers, rows.length)).map(({ lastAttemptedAt }) => lastAttemptedAt as number).sort((a, b) => a - b)
    assert.equal(starts.length, rows.length)
    for (let index = max; index < starts.length; index++) {
      assert.ok(starts[index]! - starts[index - max]! >= every, `${max + 1} started within ${starts[index]! - starts[index - max]!} ms`)
    }
  })

  test('where a process stood still between a claim and its start, the rate counts the start', async (bench) => {
    // A claim takes several steps: less than the time of the rate, or more.
    for (const [every, still] of [[1_500, 100], [80, 100]] as const) {
      // A start is put off twice, by what the claim took before; where the machine is slower at the last, it is not put off
      // again. So two of three.
      const times: number[] = []
      const kept = (): number => times.filter((time) => time >= every).length
      while (kept() < 2 && times.length - kept() < 2) times.push(await timeToNext(bench, { name: `${every} ${times.length}`, max: 2, every }, still))
      assert.equal(kept(), 2, `${every} ms: the next started after ${times.map(Math.round).join(', ')} ms`)
    }
  })

  test('an attempt counts, whatever it led to, and so does a retry', async (bench) => {
    await bench.insert(rated({ max: 2 }), rated({ max: 2 }))
    const worker = await bench.worker()
    const { rows: [row] } = await worker.claimLimited({ limit: 1 })
    await worker.finish(ending(row!, 'READY', { delay: 0 }))
    assert.equal((await worker.claimLimited()).rows.length, 1)
    assert.equal((await worker.claimLimited()).rows.length, 0)
  })

  test('rates of different names do not limit each other; one name is one rate across tasks', async (bench) => {
    await bench.insert(rated({ name: 'a' }), rated({ name: 'b' }), { ...rated({ name: 'a' }), task: 'other' })
    const worker = await bench.worker({ tasks: ['test.task', 'other'] })
    assert.equal((await worker.claimLimited()).rows.length, 2)
    assert.equal((await worker.claimLimited()).rows.length, 0)
  })

  test('a rate and a concurrency key hold together', async (bench) => {
    const limits = { key: 'k', concurrency: 1, rate: { name: 'r', max: 2, every: HOUR_MS } }
    await bench.insert({ limits }, { limits }, { limits })
    const worker = await bench.worker()
    for (const expected of [1, 1, 0]) {
      const { rows } = await worker.claimLimited()
      assert.equal(rows.length, expected)
      await worker.finish(...rows.map((row) => ending(row, 'SUCCESSFUL')))
    }
  })

  test('a queue that has a rate keeps it over all that is in it', async (bench) => {
    const queues = new Map<string, ClaimLimits>([['mails', { concurrency: null, rate: { max: 2, every: HOUR_MS } }]])
    const none = { key: null, concurrency: 1, rate: null }
    await bench.insert({ queue: 'mails', limits: none }, { queue: 'mails', limits: { ...none, key: 'k' } }, { queue: 'mails', limits: none })
    const worker = await bench.worker()
    assert.equal((await worker.claimLimited({ queues })).rows.length, 2)
    const { rows, nextIn } = await worker.claimLimited({ queues })
    assert.deepEqual(rows, [])
    assert.ok(nextIn !== null)
  })

  test('a rate that is spent does not keep others waiting', async (bench) => {
    await bench.insert(...Array.from({ length: 50 }, () => rated({ name: 'slow' })))
    const worker = await bench.worker()
    await worker.claimLimited()
    const [quick] = await bench.insert(rated({ name: 'quick' })) as [Row]
    assert.deepEqual(ids((await worker.claimLimited()).rows), [quick.id])
  })
}

function rated ({ name = 'r', max = 1, every = HOUR_MS }: { name?: string, max?: number, every?: number } = {}): Partial<NewRow> {
  return { limits: { key: null, concurrency: 1, rate: { name, max, every } } }
}

/** Milliseconds from a claim that used its rate up, in a process that stood still, until another may start. */
async function timeToNext (bench: Bench, rate: { name: string, max: number, every: number }, still: number): Promise<number> {
  await bench.insert(...Array.from({ length: rate.max + 1 }, () => rated(rate)))
  const [late, prompt] = [await bench.worker(), await bench.worker({ store: await bench.connect() })]
  const stop = standStill(still)
  const { rows } = await late.claimLimited().finally(stop)
  const started = performance.now()
  assert.equal(rows.length, rate.max)
  await drainAll([prompt], 1)
  return performance.now() - started
}

async function drainAll (workers: readonly TestWorker[], total: number): Promise<ClaimedRow[]> {
  const claimed: ClaimedRow[] = []
  await Promise.all(workers.map(async (worker) => {
    for (const deadline = performance.now() + 90_000; claimed.length < total;) {
      assert.ok(performance.now() < deadline, `all are claimed; ${claimed.length} were`)
      const { rows, nextIn } = await worker.claimLimited({ limit: 2 })
      claimed.push(...rows)
      await worker.finish(...rows.map((row) => ending(row, 'SUCCESSFUL')))
      if (rows.length === 0) await new Promise((resolve) => setTimeout(resolve, Math.min(nextIn ?? 10, 50)))
    }
  }))
  return claimed
}

/** Let this process take its time for everything, until it is told to stop. */
function standStill (milliseconds: number): () => void {
  const timer = setInterval(() => {
    const until = performance.now() + milliseconds
    while (performance.now() < until) { /* as a task of somebody's does */ }
  }, 0)
  return () => { clearInterval(timer) }
}
