import assert from 'node:assert/strict'
import { BACKEND, ending, ids, type Bench } from './bench.js'
import type { Chapter } from './suite.js'
import type { NewRow } from '../../store/store.js'

type Waiting = (bench: Bench, row: Partial<NewRow>) => Promise<string>

/** Each way in which a READY row waits. */
const WAITING: Record<string, Waiting> = {
  'is deferred': async (bench, row) => (await bench.insertOne({ ...row, delay: 3_600_000 })).id,
  'waits for a retry': async (bench, row) => {
    const held = await bench.running(row)
    await held.worker.finish(ending(held.row, 'READY', { delay: 3_600_000 }))
    return held.row.id
  },
  'is in a paused queue': async (bench, row) => {
    await bench.store.pause(BACKEND, row.queue as string)
    return (await bench.insertOne(row)).id
  },
  'waits for a limit': async (bench, row) => {
    const limits = { key: 'k', concurrency: 1, rate: null }
    const [first, second] = await bench.insert({ ...row, queue: 'first', tags: [], limits }, { ...row, limits })
    assert.deepEqual(ids((await (await bench.worker({ tasks: [row.task as string] })).claimLimited()).rows), [first!.id])
    return second!.id
  },
  'waits for a retry and holds its key': async (bench, row) => {
    const [held] = await bench.insert({ ...row, limits: { key: 'l', concurrency: 1, rate: null } }, { task: 'other', limits: { key: 'l', concurrency: 1, rate: null } })
    const worker = await bench.worker({ tasks: [row.task as string] })
    const { rows: [claimed] } = await worker.claimLimited()
    await worker.finish(ending(claimed!, 'READY', { delay: 3_600_000 }))
    return held!.id
  },
  'is in quarantine': async (bench, row) => {
    const { row: { id, task }, worker } = await bench.running(row)
    await bench.bury(worker)
    const next = await bench.worker({ tasks: [task] })
    await next.claimEventually(id)
    await bench.bury(next)
    return id
  }
}

/** A READY row is cancelled whatever it waits for, and never runs. */
export const cancelChapter: Chapter = (test) => {
  for (const [how, wait] of Object.entries(WAITING)) {
    test(`a row that ${how} is cancelled at once, by its id and by a filter`, async (bench) => {
      const waiting = await wait(bench, { task: 'work', queue: 'q', tags: ['t'] })
      const { cancelled, signalled } = await bench.store.cancel({ backend: BACKEND, queue: 'q' })
      assert.deepEqual([ids(cancelled), signalled], [[waiting], []])
      assert.deepEqual(await bench.store.cancel({ backend: BACKEND, id: waiting }), { cancelled: [], signalled: [] }, 'once')
      for (const filter of [{ id: waiting }, { task: 'work' }, { tag: 't' }, { status: 'READY' as const, queue: 'q', task: 'work', tag: 't' }]) {
        await bench.store.requeue({ backend: BACKEND, id: waiting })
        const other = (await bench.insertOne({ task: 'none', queue: 'r', tags: ['s'] })).id
        assert.deepEqual(ids((await bench.store.cancel({ backend: BACKEND, ...filter })).cancelled), [waiting], JSON.stringify(filter))
        assert.equal((await bench.get(other)).status, 'READY')
      }
      await bench.store.resume(BACKEND, 'q')
      const worker = await bench.worker({ tasks: ['work'] })
      assert.deepEqual([...await worker.claim(), ...await worker.claim({ quarantined: true }), ...(await worker.claimLimited()).rows], [])
    })
  }

  test('a retry that held a concurrency key gives it up when it is cancelled', async (bench) => {
    const row = { task: 'work', queue: 'q', tags: ['t'] }
    const id = await (WAITING['waits for a retry and holds its key'] as Waiting)(bench, row)
    const worker = await bench.worker({ tasks: ['other'] })
    assert.deepEqual((await worker.claimLimited()).rows, [])
    await bench.store.cancel({ backend: BACKEND, id })
    assert.equal((await worker.claimLimited()).rows.length, 1)
  })

  test('a claimed row that was not started is cancelled when it is handed back, and answers that it was told', async (bench) => {
    await bench.insert({}, {})
    const worker = await bench.worker()
    const [started, buffered] = await worker.claim({ limit: 2, start: 1 })
    assert.deepEqual(await bench.store.cancel({ backend: BACKEND, id: buffered!.id }), { cancelled: [], signalled: [buffered!.id] })
    assert.deepEqual(await bench.store.cancelled(worker.id), [buffered!.id])
    await worker.release(buffered!)
    const { status, attempts } = await bench.get(buffered!.id)
    assert.deepEqual([status, attempts], ['CANCELLED', 0])
    await worker.finish(ending(started!, 'SUCCESSFUL'))
  })
}
