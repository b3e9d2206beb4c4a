import assert from 'node:assert/strict'
import type { Row } from '../../store/store.js'
import { eventually } from '../eventually.js'
import { BACKEND, ids, type Bench } from './bench.js'
import type { Chapter } from './suite.js'

/** How a worker looks for rows without reading what it has seen, or what it cannot take. */
export const lookChapter: Chapter = (test) => {
  test('a claim of many lanes is in order, whatever it may read of each at most', async (bench) => {
    const rows = await bench.insert(...Array.from({ length: 40 }, (_, n) => ({ queue: n < 25 ? 'a' : n % 2 === 0 ? 'b' : 'c', priority: n === 39 ? 5 : 0 })))
    const order = [rows[39], ...rows.slice(0, 39)].map((row) => row?.id)
    const worker = await bench.worker()
    const lanes = [{ queue: 'c', priority: 5, after: null }, ...['a', 'b', 'c'].map((queue) => ({ queue, priority: 0, after: null }))]
    const claimed: string[] = []
    while (claimed.length < order.length) {
      const some = ids(await bench.store.claim({ worker: worker.id, claim: ++worker.lastClaim, backend: BACKEND, lanes, limit: 15, most: 4, start: 15, tasks: worker.tasks }))
      assert.ok(some.length >= 1 && some.length <= 15)
      claimed.push(...some)
    }
    assert.deepEqual(claimed, order)
  })

  test('a look at lanes that are known finds the others, too, and their first rows', async (bench) => {
    await bench.insert({ queue: 'a' }, { queue: 'a', priority: 7 }, { queue: 'b' }, { queue: 'c', priority: -3 }, { queue: 'c', priority: -3 }, { queue: 'e' })
    const before = (await bench.store.lanes({ backend: BACKEND })).lanes
    const known = before.filter(({ queue, priority }) => queue === 'c' || queue === 'e' || priority === 7).map(({ queue, priority }) => ({ queue, priority, after: null }))
    const { lanes } = await bench.store.lanes({ backend: BACKEND, known: [...known, { queue: 'd', priority: 1, after: null }] })
    const byName = (a: { queue: string, priority: number }, b: { queue: string, priority: number }): number => a.queue < b.queue ? -1 : a.queue > b.queue ? 1 : a.priority - b.priority
    assert.deepEqual([...lanes].sort(byName), [...before].sort(byName))
    assert.ok(lanes.every(({ task }) => task === 'test.task'))
  })

  test('the lanes of a paused queue are told apart', async (bench) => {
    await bench.insertOne({ queue: 'mails' })
    await bench.store.pause(BACKEND, 'mails')
    const { lanes, paused } = await bench.store.lanes({ backend: BACKEND })
    assert.deepEqual([lanes, (paused ?? []).map(({ queue }) => queue)], [[], ['mails']])
  })

  for (const [how, back] of Object.entries({
    'handed back': async (bench: Bench, { worker, row }: Awaited<ReturnType<Bench['running']>>) => { await worker.release(row); void bench },
    'taken from a dead worker': async (bench: Bench, { worker }: Awaited<ReturnType<Bench['running']>>) => { await bench.bury(worker) },
    'handed back with all its worker had': async (bench: Bench, { worker }: Awaited<ReturnType<Bench['running']>>) => { await bench.store.deregister(worker.id) }
  })) {
    test(`a row that is ${how} is found by a worker whose cursor has passed it`, async (bench) => {
      const running = await bench.running()
      const later = await bench.running()
      const known = [{ queue: 'default', priority: 0, after: later.row.cursor }]
      const { now, lanes } = await bench.store.lanes({ backend: BACKEND, known, since: 0 })
      assert.deepEqual(lanes, [])
      await back(bench, running)
      await eventually(async () => {
        const seen = await bench.store.lanes({ backend: BACKEND, known, since: now - 1_000 })
        const [first] = [...seen.lanes, ...seen.returned ?? []]
        assert.deepEqual([first?.queue, first?.priority, first?.due], ['default', 0, running.row.due])
      })
    })
  }

  test('due rows of a name that no live worker knows are parked: READY, counted, in no lane; and let go by their name', async (bench) => {
    const [strange, known, others, later] = await bench.insert({ task: 'ghost' }, {}, { task: 'elsewhere' }, { task: 'ghost', delay: 60_000 }) as [Row, Row, Row, Row]
    const worker = await bench.worker()
    await bench.worker({ tasks: ['elsewhere'] })
    const lane = { queue: 'default', priority: 0, after: null }
    assert.equal(await bench.store.park({ backend: BACKEND, tasks: worker.tasks, lanes: [lane], groups: [] }), 1)
    assert.equal(await bench.store.park({ backend: BACKEND, tasks: worker.tasks, lanes: [lane], groups: [] }), 0)
    const { status, attempts, due } = await bench.get(strange.id)
    assert.deepEqual([status, attempts, due], ['READY', 0, strange.due])
    assert.deepEqual((await bench.store.lanes({ backend: BACKEND })).lanes.map(({ task }) => task), ['test.task'])
    const { queues, unknownTasks } = await bench.store.stats(BACKEND)
    assert.deepEqual([queues['default']?.ready, queues['default']?.deferred, unknownTasks], [3, 1, [{ name: 'ghost', ready: 1 }]])
    assert.equal(await bench.store.unpark({ backend: BACKEND, tasks: ['test.task', 'elsewhere'] }), 0)
    assert.equal(await bench.store.unpark({ backend: BACKEND, tasks: ['ghost'] }), 1)
    assert.equal(await bench.store.unpark({ backend: BACKEND, tasks: ['ghost'] }), 0)
    const all = await bench.worker({ tasks: ['test.task', 'elsewhere', 'ghost'] })
    assert.deepEqual(ids(await all.claim()), [strange.id, known.id, others.id])
    assert.equal((await bench.get(later.id)).status, 'READY')
  })

  test('parked rows count against maxReady, can be cancelled, and take their queue along when nothing else is in it', async (bench) => {
    await bench.insert({ task: 'ghost', queue: 'mails' }, { task: 'ghost', queue: 'mails' })
    assert.equal(await bench.store.park({ backend: BACKEND, tasks: ['test.task'], lanes: [{ queue: 'mails', priority: 0, after: null }], groups: [] }), 2)
    assert.equal((await bench.store.stats(BACKEND)).queues['mails']?.ready, 2)
    await assert.rejects(bench.insertOne({ queue: 'mails', maxReady: 2 }), { code: 'FST_TASKS_QUEUE_FULL' })
    assert.equal((await bench.store.cancel({ backend: BACKEND, task: 'ghost' })).cancelled.length, 2)
    assert.equal(await bench.store.unpark({ backend: BACKEND, tasks: ['ghost'] }), 0)
    await bench.insertOne({ queue: 'mails', maxReady: 2 })
  })
}
