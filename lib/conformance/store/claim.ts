import assert from 'node:assert/strict'
import { BACKEND, ending, ids, newRow, type Bench } from './bench.js'
import type { Chapter } from './suite.js'
import type { ClaimedRow, Row } from '../../store/store.js'

const FIELDS = [
  'id', 'backend', 'task', 'queue', 'priority', 'status', 'args', 'options', 'runAfter', 'due', 'enqueuedAt', 'startedAt', 'lastAttemptedAt',
  'finishedAt', 'attempts', 'priorAttempts', 'deaths', 'workerIds', 'errors', 'returnValue', 'progress'
] as const satisfies ReadonlyArray<keyof Row>

/** One by one: the fields of a claimed row may be getters. */
async function saysWhatIsStored (bench: Bench, row: ClaimedRow): Promise<void> {
  const stored = await bench.get(row.id)
  for (const name of FIELDS) assert.deepEqual(row[name], stored[name], name)
  assert.deepEqual(Object.keys(stored).filter((name) => !(FIELDS as readonly string[]).includes(name)), [])
  assert.deepEqual([row.keyed, row.limited], [undefined, undefined])
}

/** Which rows a claim takes, in which order, and what it makes of them. */
export const claimChapter: Chapter = (test) => {
  test('a claim makes a READY row RUNNING, charges the attempt and names the worker', async (bench) => {
    const { id, enqueuedAt } = await bench.insertOne({ args: '[1]' })
    const worker = await bench.worker()
    const [row] = await worker.claim()
    assert.ok(row !== undefined)
    assert.equal(row.claim, 1)
    assert.deepEqual([row.id, row.status, row.args, row.attempts, row.deaths, row.workerIds], [id, 'RUNNING', '[1]', 1, 0, [worker.id]])
    assert.ok(row.startedAt !== null && row.startedAt >= enqueuedAt)
    assert.equal(row.lastAttemptedAt, row.startedAt)
    await saysWhatIsStored(bench, row)
  })

  test('a claim of a row that was released, retried or put back says what is stored of it', async (bench) => {
    const { id } = await bench.insertOne({ args: '[1]', options: '{"timeout":1000}' })
    const worker = await bench.worker()
    const again = async (): Promise<ClaimedRow> => {
      const [row] = await worker.claim()
      assert.ok(row !== undefined)
      await saysWhatIsStored(bench, row)
      return row
    }
    await worker.release(await again())
    await worker.finish(ending(await again(), 'READY'))
    await worker.finish(ending(await again(), 'FAILED'))
    await bench.store.requeue({ backend: BACKEND, id })
    assert.equal((await again()).priorAttempts, 2)
  })

  test('a claimed row is not claimed again while it is held', async (bench) => {
    await bench.running()
    assert.deepEqual(await (await bench.worker()).claim(), [])
  })

  test('an empty store gives no lanes and no rows', async (bench) => {
    assert.deepEqual((await bench.store.lanes({ backend: BACKEND })).lanes, [])
    const worker = await bench.worker()
    assert.deepEqual(await bench.store.claim({ worker: worker.id, claim: 1, backend: BACKEND, lanes: [{ queue: 'default', priority: 0, after: null }], limit: 5, start: 5, tasks: ['test.task'] }), [])
  })

  test('a claim that finds its lanes by itself takes what is due, in the order of the contract', async (bench) => {
    const worker = await bench.worker()
    assert.deepEqual(await worker.claimAny(), [])
    const [low, other, deferred, high] = await bench.insert({ priority: -5 }, { queue: 'other' }, { priority: 50, delay: 60_000 }, { priority: 9 })
    const [unknown] = await bench.insert({ task: 'test.unknown', priority: 99 })
    const last = await bench.insertOne()
    assert.deepEqual(ids(await worker.claimAny({ limit: 2 })), ids([high, other] as Row[]))
    assert.deepEqual(ids(await worker.claimAny()), ids([last, low] as Row[]))
    for (const row of [deferred, unknown] as Row[]) assert.equal((await bench.get(row.id)).status, 'READY')
  })

  test('a claim that finds its lanes by itself finds them however many there are', async (bench) => {
    const rows = await bench.insert(...Array.from({ length: 501 }, (_, number) => ({ queue: `q${number}` })))
    const worker = await bench.worker()
    const claimed = await worker.claimAny({ limit: 3 })
    assert.deepEqual(ids(claimed), ids(rows.slice(0, 3)))
  })

  test('a claim that finds its lanes by itself keeps to its queues, and out of paused ones', async (bench) => {
    const worker = await bench.worker()
    const [a, b, c] = await bench.insert({ queue: 'a' }, { queue: 'b' }, { queue: 'c' })
    await bench.store.pause(BACKEND, 'c')
    assert.deepEqual(ids(await worker.claimAny({ only: ['a', 'c'] })), ids([a] as Row[]))
    assert.deepEqual(await worker.claimAny({ except: ['b'] }), [])
    assert.deepEqual(ids(await worker.claimAny()), ids([b] as Row[]))
    await bench.store.resume(BACKEND, 'c')
    assert.deepEqual(ids(await worker.claimAny({ only: ['c'] })), ids([c] as Row[]))
  })

  test('no more rows are claimed than were asked for, however many claim at once', async (bench) => {
    await bench.insert(...Array.from({ length: 100 }, () => ({})))
    const stores = [bench.store, await bench.connect(), await bench.connect()]
    const workers = await Promise.all(stores.flatMap((store) => [store, store]).map(async (store) => await bench.worker({ store })))
    const batches = await Promise.all(workers.map(async (worker) => await worker.claim({ limit: 7 })))
    for (const batch of batches) assert.ok(batch.length <= 7, `${batch.length} rows of 7`)
    const claimed = ids(batches.flat())
    assert.equal(new Set(claimed).size, claimed.length, 'each row is claimed once')
  })

  test('claimers that work in parallel overlap nowhere and leave nothing behind', async (bench) => {
    const rows = await bench.insert(...Array.from({ length: 150 }, (_, index) => ({ priority: index % 3 })))
    const stores = [bench.store, await bench.connect()]
    const workers = await Promise.all([...stores, ...stores].map(async (store) => await bench.worker({ store })))
    const drained = await Promise.all(workers.map(async (worker) => {
      const claimed: string[] = []
      for (let misses = 0; misses < 3;) {
        const batch = await worker.claim({ limit: 11 })
        claimed.push(...ids(batch))
        misses = batch.length === 0 ? misses + 1 : 0
      }
      return claimed
    }))
    assert.deepEqual(drained.flat().sort(), ids(rows).sort())
  })

  test('a worker whose lease has run out claims nothing', async (bench) => {
    const worker = await bench.worker()
    await bench.insertOne()
    await bench.bury(worker)
    assert.deepEqual(await worker.claim(), [])
  })

  test('a worker that was never registered claims nothing', async (bench) => {
    await bench.insertOne()
    const { lanes } = await bench.store.lanes({ backend: BACKEND })
    const lane = { queue: 'default', priority: 0, after: null }
    assert.equal(lanes.length, 1)
    assert.deepEqual(await bench.store.claim({ worker: 'nobody', claim: 1, backend: BACKEND, lanes: [lane], limit: 5, start: 5, tasks: ['test.task'] }), [])
  })

  test('a row whose task the worker does not know stays READY with no attempt, blocks nobody, and is claimed by one that knows it', async (bench) => {
    const [unknown, known] = await bench.insert({ task: 'ghost', priority: 100 }, {}) as [Row, Row]
    const worker = await bench.worker()
    assert.deepEqual(ids(await worker.claim({ limit: 1 })).concat(ids(await worker.claim({ limit: 1 }))), [known.id])
    const { status, attempts } = await bench.get(unknown.id)
    assert.deepEqual([status, attempts], ['READY', 0])
    const other = await bench.worker({ tasks: ['test.task', 'ghost'] })
    await other.claimEventually(unknown.id)
  })

  test('no name of a task is special: what the worker does not know by exactly that name is left alone', async (bench) => {
    await bench.insert(...['constructor', '__proto__', 'toString', 'TEST.TASK', 'test', 'test.task.more', 'test%'].map((task) => ({ task })))
    assert.deepEqual(await (await bench.worker()).claim(), [])
  })

  test('the rows of another backend are left alone', async (bench) => {
    await bench.insertOne({ backend: 'other' })
    assert.deepEqual(await (await bench.worker()).claim(), [])
    assert.equal((await (await bench.worker({ backend: 'other' })).claim()).length, 1)
  })

  test('a paused queue gives nothing until it is resumed, and pausing twice is as pausing once', async (bench) => {
    const { id } = await bench.insertOne({ queue: 'mails' })
    const other = await bench.insertOne()
    await bench.store.pause(BACKEND, 'mails')
    await bench.store.pause(BACKEND, 'mails')
    const worker = await bench.worker()
    assert.deepEqual(ids(await worker.claim()), [other.id])
    assert.equal((await bench.store.stats(BACKEND)).queues['mails']?.paused, true)
    await bench.store.resume(BACKEND, 'mails')
    await bench.store.resume(BACKEND, 'mails')
    await worker.claimEventually(id)
  })

  test('a queue of another backend is not paused with it', async (bench) => {
    await bench.insertOne({ backend: 'other' })
    await bench.store.pause(BACKEND, 'default')
    assert.equal((await (await bench.worker({ backend: 'other' })).claim()).length, 1)
  })

  order(test)
}

const order: Chapter = (test) => {
  test('the larger priority is claimed first, whatever was enqueued first', async (bench) => {
    const rows = await bench.insert(...[0, -100, 50, 100, -1, 1].map((priority) => ({ priority })))
    const claimed = await (await bench.worker()).claim()
    assert.deepEqual(claimed.map(({ priority }) => priority), [100, 50, 1, 0, -1, -100])
    assert.equal(claimed.length, rows.length)
  })

  test('of one priority, what was enqueued first is claimed first: within an insert and between them', async (bench) => {
    const first = await bench.insert({}, {}, {})
    const second = await bench.insert({}, {})
    assert.deepEqual(ids(await (await bench.worker()).claim()), ids([...first, ...second]))
  })

  test('ids that sort backwards do not change the order', async (bench) => {
    const descending = ['c', 'b', 'a'].map((letter) => `${letter.repeat(8)}-0000-7000-8000-000000000000`)
    await bench.insert(...descending.map((id) => ({ id })))
    assert.deepEqual(ids(await (await bench.worker()).claim()), descending)
  })

  test('of one priority, what is due first is claimed first: a moment that has passed counts as the enqueue', async (bench) => {
    const plain = await bench.insertOne()
    const [late, soon, past] = await bench.insert({ delay: 120 }, { delay: 40 }, { runAfter: 1_000 }) as [Row, Row, Row]
    assert.ok(past.due >= plain.due && past.due < soon.due && soon.due < late.due)
    const worker = await bench.worker()
    await new Promise((resolve) => setTimeout(resolve, late.due - late.enqueuedAt + 50))
    assert.deepEqual(ids(await worker.claim()), ids([plain, past, soon, late]))
  })

  test('rows of several queues are claimed in one order', async (bench) => {
    const rows = await bench.insert({ queue: 'a' }, { queue: 'b' }, { queue: 'a' }, { queue: 'c', priority: 1 })
    const [a1, b, a2, c] = ids(rows)
    assert.deepEqual(ids(await (await bench.worker()).claim()), [c, a1, b, a2])
  })

  test('only the queues that are asked for are claimed from', async (bench) => {
    const [a, b] = ids(await bench.insert({ queue: 'a' }, { queue: 'b' }))
    const worker = await bench.worker()
    assert.deepEqual(ids(await worker.claim({ queues: ['b'] })), [b])
    assert.deepEqual(ids(await worker.claim()), [a])
  })

  test('no row is claimed before it is due, and one of high priority that is not due blocks none', async (bench) => {
    const [deferred, plain] = await bench.insert({ delay: 2_000, priority: 100 }, {}) as [Row, Row]
    assert.equal(deferred.due - deferred.enqueuedAt, 2_000)
    const worker = await bench.worker()
    assert.deepEqual(ids(await worker.claim()), [plain.id])
    const claimed = await worker.claimEventually(deferred.id)
    assert.ok(claimed.startedAt !== null && claimed.startedAt >= claimed.due, 'never early')
  })

  test('a moment is kept exactly, and a far one is not due', async (bench) => {
    const far = Date.UTC(2999, 11, 31, 23, 59, 59, 999)
    const row = await bench.insertOne({ runAfter: far })
    assert.deepEqual([row.runAfter, row.due], [far, far])
    const { lanes, now } = await bench.store.lanes({ backend: BACKEND })
    assert.deepEqual(lanes.map(({ due }) => due).filter((due) => due <= now), [])
    assert.deepEqual(await (await bench.worker()).claim(), [])
  })

  test('lanes say when their first row is due', async (bench) => {
    const [first] = await bench.insert({ delay: 60_000 }, { delay: 90_000 }, { queue: 'b', priority: 3 }) as [Row]
    const { lanes, now } = await bench.store.lanes({ backend: BACKEND })
    const sorted = [...lanes].sort((a, b) => a.queue < b.queue ? -1 : 1)
    assert.deepEqual(sorted.map(({ queue, priority }) => [queue, priority]), [['b', 3], ['default', 0]])
    assert.ok(sorted[0]!.due <= now)
    assert.equal(sorted[1]!.due, first.due)
  })

  test('a claim that starts behind a cursor takes what lies behind it', async (bench) => {
    const rows = await bench.insert({}, {}, {}, {})
    const worker = await bench.worker()
    const [, second] = await worker.claim({ limit: 2 })
    const lane = { queue: 'default', priority: 0, after: second!.cursor }
    const claimed = await bench.store.claim({ worker: worker.id, claim: ++worker.lastClaim, backend: BACKEND, lanes: [lane], limit: 10, start: 10, tasks: worker.tasks })
    assert.deepEqual(ids(claimed), ids(rows.slice(2)))
  })

  test('a row that was handed back keeps its place', async (bench) => {
    const rows = await bench.insert({}, {}, {})
    const worker = await bench.worker()
    const [first] = await worker.claim({ limit: 1 })
    await worker.release(first!)
    assert.deepEqual(ids(await worker.claim()), ids(rows))
  })

  test('a retry is due after its delay and not before, behind what was due meanwhile', async (bench) => {
    const { row, worker } = await bench.running()
    const [finished] = await worker.finish(ending(row, 'READY', { delay: 2_000 }))
    assert.equal(finished?.status, 'READY')
    const { due } = await bench.get(row.id)
    assert.equal(finished.runAfter, due)
    assert.ok(due >= row.lastAttemptedAt! + 2_000)
    const { id } = await bench.insertOne(newRow())
    assert.deepEqual(ids(await worker.claim()), [id])
    const again = await worker.claimEventually(row.id)
    assert.ok(again.lastAttemptedAt !== null && again.lastAttemptedAt >= due)
    assert.equal(again.attempts, 2)
    assert.equal(again.startedAt, row.startedAt)
    assert.deepEqual(again.workerIds, [worker.id, worker.id])
  })
}
