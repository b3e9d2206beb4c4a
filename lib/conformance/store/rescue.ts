import assert from 'node:assert/strict'
import { eventually } from '../eventually.js'
import { BACKEND, ending, ids, storedError, type Bench, type TestWorker } from './bench.js'
import type { Chapter } from './suite.js'
import type { ClaimedRow } from '../../store/store.js'
import { ERRORS_MAX } from '../../core/limits.js'

/** What becomes of the rows of a worker that died, whoever writes at the same time. */
export const rescueChapter: Chapter = (test) => {
  test('the rows of a worker whose lease runs are left alone', async (bench) => {
    const { row } = await bench.running()
    assert.deepEqual(await bench.store.rescue({ backend: BACKEND, crashBudget: 3 }), { workers: [], charged: [], released: [] })
    assert.equal((await bench.get(row.id)).status, 'RUNNING')
  })

  test('a lease that is renewed does not run out', async (bench) => {
    const { row, worker } = await bench.running({}, 2_000)
    const until = performance.now() + 2_500
    while (performance.now() < until) {
      assert.equal((await bench.store.renew(worker.id, { leaseMs: 2_000, running: 1 })).held, true)
      assert.deepEqual((await bench.store.rescue({ backend: BACKEND, crashBudget: 3 })).workers, [])
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    assert.equal((await worker.finish(ending(row, 'SUCCESSFUL'))).length, 1)
  })

  test('a started row of a dead worker is READY again at once, charged with the death, which is recorded', async (bench) => {
    const { row, worker } = await bench.running()
    const rescued = await bench.bury(worker)
    assert.deepEqual([rescued.workers, ids(rescued.charged), rescued.released], [[worker.id], [row.id], []])
    const after = await bench.get(row.id)
    assert.deepEqual(rescued.charged, [after])
    assert.deepEqual([after.status, after.attempts, after.deaths, after.errors.length], ['READY', 1, 1, 1])
    assert.equal(after.errors[0]?.code, 'FST_TASKS_WORKER_LOST')
    assert.equal(after.errors[0]?.attempt, 1)
    const [again] = await (await bench.worker()).claim()
    assert.deepEqual([again?.id, again?.attempts], [row.id, 2])
  })

  test('rows that were claimed and not started are handed back uncharged', async (bench) => {
    const rows = await bench.insert({}, {}, {}, {})
    const worker = await bench.worker()
    const claimed = await worker.claim({ start: 1 })
    await bench.store.markStarted({ worker: worker.id, claim: claimed[0]!.claim }, 2)
    const rescued = await bench.bury(worker)
    assert.deepEqual(ids(rescued.charged).sort(), ids(rows.slice(0, 2)).sort())
    assert.deepEqual([...rescued.released].sort(), ids(rows.slice(2)).sort())
    const after = await Promise.all(rows.map(async ({ id }) => await bench.get(id)))
    assert.deepEqual(after.map(({ status, attempts, deaths, errors }) => [status, attempts, deaths, errors.length]), [
      ['READY', 1, 1, 1], ['READY', 1, 1, 1], ['READY', 0, 0, 0], ['READY', 0, 0, 0]
    ])
  })

  test('of rows that were marked as started, those that are known not to have been are handed back uncharged', async (bench) => {
    const rows = await bench.insert({}, {}, {}, {}, {})
    const worker = await bench.worker()
    await worker.claim({ limit: 1, start: 1 })
    await worker.claim({ limit: 2, start: 2 })
    await worker.claim({ limit: 2, start: 2 })
    for (let tries = 0; tries < 2; tries++) await bench.store.unmarkStarted({ worker: worker.id, claim: 2 }, 1)
    await bench.store.unmarkStarted({ worker: worker.id, claim: 2 }, 2)
    const rescued = await bench.bury(worker)
    assert.deepEqual(ids(rescued.charged).sort(), ids(rows.slice(0, 2)).sort(), 'it is only ever lowered')
    assert.deepEqual([...rescued.released].sort(), ids(rows.slice(2)).sort())
  })

  test('a row whose claim the reply of was lost is taken back with its worker', async (bench) => {
    const { id } = await bench.insertOne()
    const worker = await bench.worker()
    await worker.claim({ start: 0 }) // nobody hears the answer
    assert.deepEqual([...(await bench.store.renew(worker.id, { leaseMs: 60_000, running: 0 })).claims], [1])
    const rescued = await bench.bury(worker)
    assert.deepEqual(rescued.released, [id])
  })

  test('from its second death on a row is claimed only by who gives it a process of its own', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.bury(worker)
    const second = await bench.worker()
    assert.deepEqual(ids(await second.claim()), [row.id])
    await bench.bury(second)
    const third = await bench.worker()
    assert.deepEqual(await third.claim(), [])
    assert.deepEqual((await bench.store.lanes({ backend: BACKEND })).lanes, [])
    assert.equal((await bench.store.stats(BACKEND)).queues['default']?.ready, 1, 'it is READY, and counted so')
    const [again] = await third.claim({ quarantined: true })
    assert.deepEqual([again?.id, again?.deaths, again?.attempts], [row.id, 2, 3])
    await third.release(again!)
    assert.deepEqual(await third.claim(), [], 'handed back, it is in quarantine still')
    assert.equal((await third.claim({ quarantined: true })).length, 1)
  })

  test('the death that spends the crash budget ends the row FAILED, with every death recorded', async (bench) => {
    const { id } = await bench.insertOne()
    for (let death = 1; death <= 3; death++) {
      const worker = await bench.worker()
      assert.equal((await worker.claim({ quarantined: death === 3 })).length, 1)
      await bench.bury(worker)
    }
    const after = await bench.get(id)
    assert.deepEqual([after.status, after.attempts, after.deaths], ['FAILED', 3, 3])
    assert.deepEqual(after.errors.map(({ code, attempt }) => [code, attempt]), [['FST_TASKS_WORKER_LOST', 1], ['FST_TASKS_WORKER_LOST', 2], ['FST_TASKS_WORKER_LOST', 3]])
    assert.ok(after.finishedAt !== null)
  })

  test('a crash budget of one forgives no death', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.bury(worker, 1)
    assert.equal((await bench.get(row.id)).status, 'FAILED')
  })

  test('a row whose cancellation was asked for ends CANCELLED with its worker', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.store.cancel({ backend: BACKEND, id: row.id })
    await bench.bury(worker)
    assert.equal((await bench.get(row.id)).status, 'CANCELLED')
  })

  test('a death is recorded also where an attempt before it was cancelled and left no error', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.store.cancel({ backend: BACKEND, id: row.id })
    await worker.finish(ending(row, 'CANCELLED', { errors: [] }))
    await bench.store.requeue({ backend: BACKEND, id: row.id })
    const heir = await bench.worker()
    await heir.claimEventually(row.id)
    await bench.bury(heir)
    const after = await bench.get(row.id)
    assert.deepEqual([after.status, after.errors.map(({ code, attempt }) => [code, attempt])], ['READY', [['FST_TASKS_WORKER_LOST', 2]]])
  })

  test('a death beside as many errors as are kept takes the place of the oldest', async (bench) => {
    const { row, worker } = await bench.running()
    const errors = Array.from({ length: ERRORS_MAX }, (_, index) => storedError({ message: `it failed "[,]" ${index}` }))
    await worker.finish(ending(row, 'READY', { errors }))
    const next = await bench.worker()
    await next.claimEventually(row.id)
    await bench.bury(next)
    const after = (await bench.get(row.id)).errors
    assert.deepEqual(after.slice(0, -1), errors.slice(1))
    assert.equal(after.at(-1)?.code, 'FST_TASKS_WORKER_LOST')
  })

  test('a fenced worker can neither renew nor claim, and comes back under a new id only', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.bury(worker)
    assert.equal((await bench.store.renew(worker.id, { leaseMs: 60_000, running: 1 })).held, false)
    assert.deepEqual(await worker.claim(), [])
    assert.deepEqual(ids(await (await bench.worker()).claim()), [row.id])
  })

  test('a rescue of one backend leaves the workers of another alone', async (bench) => {
    const worker = await bench.worker({ backend: 'other' })
    await bench.insertOne({ backend: 'other' })
    const [row] = await worker.claim()
    await bench.store.renew(worker.id, { leaseMs: 1, running: 1 })
    await eventually(async () => { assert.equal((await bench.store.rescue({ backend: BACKEND, crashBudget: 3 })).workers.length, 0) })
    assert.equal((await bench.get(row!.id)).status, 'RUNNING')
  })

  races(test)
}

type Step = 'finish' | 'rescue' | 'claim'

const ORDERS: readonly Step[][] = [
  ['finish', 'rescue', 'claim'], ['finish', 'claim', 'rescue'], ['rescue', 'finish', 'claim'],
  ['rescue', 'claim', 'finish'], ['claim', 'finish', 'rescue'], ['claim', 'rescue', 'finish']
]

const races: Chapter = (test) => {
  for (const order of ORDERS) {
    test(`a row has one ending in the order ${order.join(', ')}: of the worker that died, the rescuer and the next worker`, async (bench) => {
      const dead = await expired(bench)
      const next = await bench.worker()
      let accepted = 0
      let claimed: ClaimedRow | undefined
      const steps: Record<Step, () => Promise<void>> = {
        finish: async () => { accepted = (await dead.worker.finish(ending(dead.row, 'SUCCESSFUL', { value: '"first"' }))).length },
        rescue: async () => { await bench.store.rescue({ backend: BACKEND, crashBudget: 3 }) },
        claim: async () => { claimed = (await next.claim())[0] }
      }
      for (const step of order) await steps[step]()
      const rescuedFirst = order.indexOf('rescue') < order.indexOf('finish')
      assert.equal(accepted, rescuedFirst ? 0 : 1)
      assert.equal(claimed !== undefined, order.join().startsWith('rescue') && rescuedFirst && order.indexOf('rescue') < order.indexOf('claim'))
      if (claimed !== undefined) assert.equal((await next.finish(ending(claimed, 'SUCCESSFUL', { value: '"second"' }))).length, 1)
      const { status, returnValue } = await bench.get(dead.row.id)
      if (accepted === 1) assert.deepEqual([status, returnValue], ['SUCCESSFUL', '"first"'])
      else assert.deepEqual([status, returnValue], claimed === undefined ? ['READY', null] : ['SUCCESSFUL', '"second"'])
    })
  }

  test('a finish and a rescue at the same moment: one of them takes effect, wholly', async (bench) => {
    for (let round = 0; round < 15; round++) {
      const { row, worker } = await expired(bench)
      const other = await second(bench)
      const [finished, rescued] = await Promise.all([
        worker.finish(ending(row, 'SUCCESSFUL')),
        other.rescue({ backend: BACKEND, crashBudget: 3 })
      ])
      const after = await bench.get(row.id)
      const charged = ids(rescued.charged).includes(row.id) // a probe of its lease may be among them
      if (finished.length === 1) assert.deepEqual([after.status, after.deaths, charged], ['SUCCESSFUL', 0, false])
      else assert.deepEqual([after.status, after.deaths, charged], ['READY', 1, true])
      await bench.store.cancel({ backend: BACKEND, id: row.id })
    }
  })

  test('two rescuers at the same moment charge one death', async (bench) => {
    const { row } = await expired(bench)
    const other = await second(bench)
    const rescues = await Promise.all([bench.store, other, bench.store, other].map(async (store) => await store.rescue({ backend: BACKEND, crashBudget: 3 })))
    assert.equal(rescues.flatMap(({ charged }) => charged).length, 1)
    const { deaths, errors, attempts } = await bench.get(row.id)
    assert.deepEqual([deaths, errors.length, attempts], [1, 1, 1])
  })

  test('a worker that wakes up late changes nothing of the attempt that runs after it', async (bench) => {
    const { row, worker } = await bench.running()
    await bench.bury(worker)
    const next = await bench.worker()
    const [again] = await next.claim()
    const before = await bench.get(row.id)
    await worker.finish(ending(row, 'FAILED'))
    await worker.release(row)
    await bench.store.progress(worker.id, row, '1')
    await bench.store.deregister(worker.id)
    assert.deepEqual(await bench.get(row.id), before)
    assert.equal((await next.finish(ending(again!, 'SUCCESSFUL'))).length, 1)
  })
}

const seconds = new WeakMap<Bench, Promise<Bench['store']>>()

/** A second store of this test, connected once. */
async function second (bench: Bench): Promise<Bench['store']> {
  const known = seconds.get(bench) ?? bench.connect()
  seconds.set(bench, known)
  return await known
}

/** A row held by a worker whose lease has run out, and whom nobody has rescued yet. */
async function expired (bench: Bench): Promise<{ row: ClaimedRow, worker: TestWorker }> {
  const held = await bench.running()
  await bench.store.renew(held.worker.id, { leaseMs: 1, running: 1 })
  const { id } = held.worker
  // The lease has run out when it can no longer be renewed... which would renew it. The worker's own claim tells.
  await eventually(async () => {
    const probe = await bench.insertOne({ task: 'probe' })
    const claimed = await bench.store.claim({ worker: id, claim: ++held.worker.lastClaim, backend: BACKEND, lanes: [{ queue: 'default', priority: 0, after: null }], limit: 1, start: 1, tasks: ['probe'] })
    await bench.store.cancel({ backend: BACKEND, id: probe.id })
    assert.equal(claimed.length, 0)
  })
  return held
}
