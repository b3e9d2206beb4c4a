import assert from 'node:assert/strict'
import { BACKEND, ending, newRow, type Bench } from './bench.js'
import type { Chapter } from './suite.js'
import type { InsertedRow, NewRow, UniqueRule } from '../../store/store.js'

const SCOPES = { ready: 'ready', unfinished: 'unfinished', 'a time': 600_000 } as const

/** A row under a key that is READY a second time: put back by hand, by a retry, a hand-back or a rescue. */
export const uniqueAgainChapter: Chapter = (test) => {
  for (const [name, scope] of Object.entries(SCOPES)) {
    test(`a row that is put back by hand holds its key again, for as long as it did (${name})`, async (bench) => {
      const id = await failed(bench, scope)
      assert.deepEqual(await bench.store.requeue({ backend: BACKEND, id }), [id])
      assert.deepEqual(await meets(bench, scope), [id, true])
      const worker = await bench.worker()
      const row = await worker.claimEventually(id)
      assert.deepEqual((await meets(bench, scope))[1], scope !== 'ready', 'a key of scope ready is free while it runs')
      await worker.finish(ending(row, 'SUCCESSFUL'))
      if (scope !== 'ready') assert.equal((await meets(bench, scope))[1], scope !== 'unfinished')
    })

    test(`a row is not put back while another one holds its key, neither by its id nor by a filter (${name})`, async (bench) => {
      const id = await failed(bench, scope, 1)
      const other = await insert(bench, { scope })
      assert.equal(other.isDuplicate, false)
      const before = await bench.get(id)
      assert.deepEqual(await bench.store.requeue({ backend: BACKEND, id }), [])
      assert.deepEqual(await bench.store.requeue({ backend: BACKEND, task: 'test.task' }), [])
      assert.deepEqual(await bench.get(id), before)
      await bench.store.cancel({ backend: BACKEND, id: other.row.id })
      if (typeof scope !== 'number') assert.deepEqual(await bench.store.requeue({ backend: BACKEND, id }), [id])
    })
  }

  test('of several ended rows of one key a filter puts one back, and all of those without a key', async (bench) => {
    for (let row = 0; row < 3; row++) await failed(bench, 'unfinished')
    const free = await bench.running({ task: 'free' })
    await free.worker.finish(ending(free.row, 'FAILED'))
    const back = await bench.store.requeue({ backend: BACKEND, status: 'FAILED' })
    assert.equal(back.length, 2)
    assert.ok(back.includes(free.row.id))
    assert.equal((await bench.store.list({ backend: BACKEND, status: 'FAILED', limit: 10 })).rows.length, 2)
  })

  test('a row is put back beside one that had its key for a time which is over', async (bench) => {
    const id = await failed(bench, 1)
    const other = await insert(bench, { scope: 1 })
    await new Promise((resolve) => setTimeout(resolve, 5))
    assert.deepEqual(await bench.store.requeue({ backend: BACKEND, id }), [id], "the other row's time is over, though it is READY")
    assert.notEqual(other.row.id, id)
  })

  test('a key of a time that is taken again is held from then on for its whole time', async (bench) => {
    const id = await failed(bench, 1_500)
    await new Promise((resolve) => setTimeout(resolve, 1_505))
    await bench.store.requeue({ backend: BACKEND, id })
    assert.deepEqual(await meets(bench, 1_500), [id, true])
  })

  for (const back of ['retry', 'hand-back', 'rescue'] as const) {
    for (const onConflict of ['return', 'replace', 'throw'] as const) {
      test(`a row of scope ready holds its key after a ${back}: an enqueue meets it (${onConflict})`, async (bench) => {
        const id = await readyAgain(bench, back)
        const insertion = insert(bench, { scope: 'ready', onConflict }, { args: '[2]' })
        if (onConflict === 'throw') await assert.rejects(insertion, { code: 'FST_TASKS_NOT_UNIQUE' })
        else assert.deepEqual([(await insertion).row.id, (await insertion).isDuplicate], [id, true])
        const { rows } = await bench.store.list({ backend: BACKEND, status: 'READY', limit: 10 })
        assert.deepEqual(rows.map((row) => [row.id, row.args]), [[id, onConflict === 'replace' ? '[2]' : '[]']])
        const [claimed] = await (await bench.worker()).claim({ quarantined: false })
        assert.equal(claimed?.id, id)
        assert.equal((await meets(bench, 'ready'))[1], false, 'and it is free once that one runs')
      })
    }
  }

  test('a retry beside a row that has its key goes on without it, and holds it when that one is claimed', async (bench) => {
    const { row, worker } = await bench.running(under({ scope: 'ready' }))
    const other = await insert(bench, { scope: 'ready' })
    assert.equal((await worker.finish(ending(row, 'READY', { delay: 60_000 })))[0]?.status, 'READY')
    assert.deepEqual(await meets(bench, 'ready'), [other.row.id, true])
    await worker.claimEventually(other.row.id)
    assert.deepEqual(await meets(bench, 'ready'), [row.id, true], 'the retry that waits is READY')
  })

  test('retries and enqueues of one key at the same moment: every retry is accepted, and at most one row is added', async (bench) => {
    const other = await bench.connect()
    const worker = await bench.worker()
    for (let round = 0; round < 12; round++) {
      const key = `k${round}`
      await insert(bench, { key, scope: 'ready' })
      const [row] = await worker.claim()
      const [finished, ...inserted] = await Promise.all([
        worker.finish(ending(row!, 'READY', { delay: 60_000 })),
        ...Array.from({ length: 4 }, async (_, index) => await (index % 2 === 0 ? other : bench.store).insert([newRow(under({ key, scope: 'ready' }))]))
      ])
      assert.equal(finished.length, 1)
      assert.ok(inserted.flat().filter(({ isDuplicate }) => !isDuplicate).length <= 1)
      for (const { row: added, isDuplicate } of inserted.flat()) if (!isDuplicate) await bench.store.cancel({ backend: BACKEND, id: added.id })
    }
  })

  test('put back by hand and enqueued at the same moment, one of the two has the key', async (bench) => {
    const other = await bench.connect()
    for (let round = 0; round < 12; round++) {
      const id = await failed(bench, 'unfinished', 0, `k${round}`)
      const [back, [inserted]] = await Promise.all([
        bench.store.requeue({ backend: BACKEND, id }),
        other.insert([newRow(under({ key: `k${round}`, scope: 'unfinished' }))])
      ])
      assert.equal(inserted!.isDuplicate, back.length === 1)
      assert.equal((await bench.get(id)).status, back.length === 1 ? 'READY' : 'FAILED')
      await bench.store.cancel({ backend: BACKEND })
    }
  })
}

/** A FAILED row that was under the key; where `ms` is said, for so long. */
async function failed (bench: Bench, scope: UniqueRule['scope'], ms = 0, key = 'k'): Promise<string> {
  const { row, worker } = await bench.running(under({ key, scope: typeof scope === 'number' && ms > 0 ? ms : scope }))
  await worker.finish(ending(row, 'FAILED'))
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms + 5))
  return row.id
}

async function readyAgain (bench: Bench, back: 'retry' | 'hand-back' | 'rescue'): Promise<string> {
  const { row, worker } = await bench.running(under({ scope: 'ready' }))
  if (back === 'retry') await worker.finish(ending(row, 'READY'))
  else if (back === 'hand-back') await worker.release(row)
  else await bench.bury(worker)
  assert.equal((await bench.get(row.id)).status, 'READY')
  return row.id
}

async function meets (bench: Bench, scope: UniqueRule['scope'], key = 'k'): Promise<[id: string, isDuplicate: boolean]> {
  const { row, isDuplicate } = await insert(bench, { key, scope })
  return [row.id, isDuplicate]
}

async function insert (bench: Bench, rule: Partial<UniqueRule>, row: Partial<NewRow> = {}): Promise<InsertedRow> {
  return (await bench.store.insert([newRow({ ...under(rule), ...row })]))[0] as InsertedRow
}

function under (rule: Partial<UniqueRule>): Partial<NewRow> {
  return { unique: { key: 'k', scope: 'unfinished', onConflict: 'return', ...rule } }
}
