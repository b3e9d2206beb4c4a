import assert from 'node:assert/strict'
import { BACKEND, ending, ids, newRow, type Bench } from './bench.js'
import { eventually } from '../eventually.js'
import type { Chapter } from './suite.js'
import type { ClaimedRow, NewRow, Row } from '../../store/store.js'

/** A paused queue gives nothing, whatever it holds and whichever store is asked; all that is in other queues goes on. */
export const pausedChapter: Chapter = (test) => {
  test('rows of a paused queue are claimed by no store, of whatever kind, and those of other queues are', async (bench) => {
    const paused = await ofEveryKind(bench, 'paused')
    const open = await ofEveryKind(bench, 'open')
    const stores = [bench.store, await bench.connect()]
    await bench.store.pause(BACKEND, 'paused')
    const taken: ClaimedRow[] = []
    for (const store of stores) taken.push(...await everything(bench, store))
    assert.deepEqual(ids(taken).sort(), ids(open).sort())
    for (const { id } of paused) assert.equal((await bench.get(id)).status, 'READY')

    await stores[1]?.resume(BACKEND, 'paused')
    assert.deepEqual(ids(await everything(bench, bench.store)).sort(), ids(paused).sort())
  })

  test('a claim that knew of rows before their queue was paused takes none of them', async (bench) => {
    const other = await bench.connect()
    await bench.insert({ queue: 'mails' }, { queue: 'mails', ...LIMITED })
    const worker = await bench.worker()
    const { lanes } = await bench.store.lanes({ backend: BACKEND })
    const known = lanes.map(({ queue, priority }) => ({ queue, priority, after: null }))
    const { heads } = await bench.store.limitedHeads({ backend: BACKEND, tasks: worker.tasks, quarantined: false, after: null })
    assert.deepEqual([known.length, heads.length], [1, 1])
    await other.pause(BACKEND, 'mails')
    const claim = { worker: worker.id, backend: BACKEND, lanes: known, limit: 9, tasks: worker.tasks }
    assert.deepEqual(await bench.store.claim({ ...claim, claim: 1, start: 9 }), [])
    assert.deepEqual((await bench.store.claimLimited({ ...claim, claim: 2, heads, quarantined: false, queues: new Map() })).rows, [])
  })

  test('what runs when its queue is paused goes on and ends; what is put back waits', async (bench) => {
    const rows = await bench.insert({ queue: 'mails' }, { queue: 'mails' }, { queue: 'mails' })
    const worker = await bench.worker()
    const [done, failed, returned] = await worker.claim() as [ClaimedRow, ClaimedRow, ClaimedRow]
    await bench.store.pause(BACKEND, 'mails')
    await worker.finish(ending(done, 'SUCCESSFUL'), ending(failed, 'READY'))
    await worker.release(returned)
    await bench.insert({ queue: 'mails' }) // what is enqueued meanwhile waits too
    assert.deepEqual((await Promise.all(rows.map(async ({ id }) => await bench.get(id)))).map(({ status }) => status), ['SUCCESSFUL', 'READY', 'READY'])
    assert.deepEqual(await worker.claimAny(), [])
    assert.equal((await bench.store.stats(BACKEND)).queues['mails']?.ready, 3)
    await bench.store.resume(BACKEND, 'mails')
    await eventually(async () => {
      await worker.claimAny()
      assert.equal((await bench.store.stats(BACKEND)).queues['mails']?.running, 3)
    })
  })

  test('who listens hears of a queue that another store resumes, also one that closes at once, or is told that only polling helps', async (bench) => {
    const other = await bench.connect()
    await bench.insertOne(newRow({ queue: 'mails' }))
    await bench.store.pause(BACKEND, 'mails')
    let heard = 0
    const listener = await bench.store.listen(() => { heard++ })
    await new Promise((resolve) => setTimeout(resolve, 50)) // what was heard of the insert and of the pause
    heard = 0
    await other.resume(BACKEND, 'mails')
    await other.close()
    await eventually(() => { assert.ok(heard > 0 || !listener.healthy()) })
    await listener.close()
  })
}

const LIMITED: Partial<NewRow> = { limits: { key: null, concurrency: 1, rate: { name: 'all', max: 1_000, every: 60_000 } } }

/** Rows that are due: plain, limited, deferred until a moment ago, and in quarantine. */
async function ofEveryKind (bench: Bench, queue: string): Promise<Row[]> {
  const { id } = await bench.insertOne({ queue })
  for (let death = 1; death <= 2; death++) {
    const worker = await bench.worker()
    await worker.claimEventually(id)
    await bench.bury(worker)
  }
  const rows = await bench.insert({ queue }, { queue, ...LIMITED }, { queue, delay: 1 }, { queue, ...LIMITED, delay: 1 })
  return [...rows, await bench.get(id)]
}

/** What a worker finds that asks for all it can, in every way that there is, until it finds nothing more. */
async function everything (bench: Bench, store: Bench['store']): Promise<ClaimedRow[]> {
  const worker = await bench.worker({ store })
  const taken: ClaimedRow[] = []
  await eventually(async () => {
    const found = [
      ...await worker.claim(), ...await worker.claimAny(), ...await worker.claim({ quarantined: true }),
      ...(await worker.claimLimited()).rows, ...(await worker.claimLimited({ quarantined: true })).rows
    ]
    taken.push(...found)
    const { queues } = await store.stats(BACKEND)
    const left = Object.values(queues).reduce((sum, { ready, deferred, paused }) => sum + deferred + (paused ? 0 : ready), 0)
    assert.equal(left, 0, 'all that is due and not paused is taken')
  })
  return taken
}
