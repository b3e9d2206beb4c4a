import assert from 'node:assert/strict'
import { v7 as uuid } from 'uuid'
import { ESCAPED_TEXTS, HOSTILE_TEXTS } from '../hostile.js'
import { BACKEND, ending, ids, newRow, storedError } from './bench.js'
import type { Chapter } from './suite.js'
import type { NewRow } from '../../store/store.js'

/** What is stored comes back as it went in, once, and in its order. */
export const insertChapter: Chapter = (test) => {
  test('a stored row is READY, with what it was given and the moment of the database', async ({ store }) => {
    const given = newRow({ task: 'a.b', queue: 'mails', priority: -7, args: '[1,"x"]', options: '{"timeout":5}' })
    const [inserted] = await store.insert([given])
    const before = await store.get(given.id)
    assert.deepEqual(inserted?.row, before)
    assert.equal(inserted?.isDuplicate, false)
    assert.ok(before !== null)
    const { enqueuedAt, due, ...rest } = before
    assert.ok(Number.isInteger(enqueuedAt) && Math.abs(enqueuedAt - Date.now()) < 3_600_000, 'a moment in milliseconds')
    assert.equal(due, enqueuedAt)
    assert.deepEqual(rest, {
      id: given.id,
      backend: BACKEND,
      task: 'a.b',
      queue: 'mails',
      priority: -7,
      status: 'READY',
      args: '[1,"x"]',
      options: '{"timeout":5}',
      runAfter: null,
      startedAt: null,
      lastAttemptedAt: null,
      finishedAt: null,
      attempts: 0,
      deaths: 0,
      priorAttempts: 0,
      workerIds: [],
      errors: [],
      returnValue: null,
      progress: null
    })
  })

  test('many rows are stored in one call, in their order', async ({ store }) => {
    const rows = Array.from({ length: 300 }, (_, index) => newRow({ args: `[${index}]` }))
    const inserted = await store.insert(rows)
    assert.deepEqual(inserted.map(({ row }) => [row.id, row.args]), rows.map(({ id, args }) => [id, args]))
    assert.deepEqual(ids(await store.getMany(ids(rows))).sort(), ids(rows).sort())
  })

  test('more rows than one statement can carry are stored all the same', async ({ store }) => {
    const rows = Array.from({ length: 3_001 }, () => newRow())
    assert.equal((await store.insert(rows)).length, 3_001)
    assert.equal((await store.stats(BACKEND)).queues['default']?.ready, 3_001)
  })

  test('an insert that is sent again stores nothing twice and answers the same', async ({ store }) => {
    const rows = [newRow({ args: '[1]' }), newRow({ args: '[2]' })]
    const stored = async (): Promise<unknown> => (await store.insert(rows)).map(({ row, isDuplicate }) => ({ row, isDuplicate }))
    assert.deepEqual(await stored(), await stored())
    assert.equal((await store.stats(BACKEND)).queues['default']?.ready, 2)
  })

  test('an insert that is sent again with one more row stores that one', async ({ store }) => {
    const known = newRow({ args: '[1]' })
    await store.insert([known])
    const fresh = newRow({ args: '[2]' })
    const inserted = await store.insert([known, fresh])
    assert.deepEqual(inserted.map(({ row }) => row.args), ['[1]', '[2]'])
  })

  test('an insert that is sent again changes nothing in a row that has moved on', async (bench) => {
    const { row, worker } = await bench.running({ args: '[1]' })
    await worker.finish(ending(row, 'SUCCESSFUL', { value: '7' }))
    const before = await bench.get(row.id)
    const [again] = await bench.store.insert([newRow({ id: row.id, args: '[2]' })])
    assert.equal(again?.row.returnValue, '7')
    assert.deepEqual(await bench.get(row.id), before)
  })

  test('none of the rows is stored where one of them cannot be', async ({ store }) => {
    const rows = [newRow(), newRow({ priority: 'high' as unknown as number }), newRow()]
    await assert.rejects(async () => await store.insert(rows))
    for (const { id } of rows) assert.equal(await store.get(id), null)
  })

  test('an id that nobody stored gives null, and nothing among many', async ({ store }) => {
    const [row] = await store.insert([newRow()])
    assert.equal(await store.get(uuid()), null)
    assert.deepEqual(ids(await store.getMany([uuid(), row!.row.id])), [row!.row.id])
    assert.deepEqual(await store.getMany([]), [])
    assert.deepEqual(await store.insert([]), [])
  })

  test('a queue that is full refuses the rows above its limit and takes rows again when it has room', async (bench) => {
    await bench.insert({ queue: 'small', maxReady: 2 }, { queue: 'small', maxReady: 2 })
    await assert.rejects(async () => await bench.insert({ queue: 'small', maxReady: 2 }), { code: 'FST_TASKS_QUEUE_FULL' })
    await bench.insert({ queue: 'other', maxReady: 2 })
    await (await bench.worker()).claim({ limit: 1, queues: ['small'] })
    await bench.insert({ queue: 'small', maxReady: 2 })
  })

  test('a queue never holds more READY rows than it may, however many are stored at once', async (bench) => {
    const stores = [bench.store, await bench.connect(), await bench.connect()]
    const inserts = Array.from({ length: 24 }, (_, index) => stores[index % stores.length]!.insert(Array.from({ length: 1 + index % 2 }, () => newRow({ queue: 'small', maxReady: 7 }))))
    const settled = await Promise.allSettled(inserts)
    const stored = settled.flatMap((one) => one.status === 'fulfilled' ? one.value : [])
    assert.equal(stored.length, 7)
    for (const one of settled) if (one.status === 'rejected') assert.equal(one.reason.code, 'FST_TASKS_QUEUE_FULL')
    assert.equal((await bench.store.stats(BACKEND)).queues['small']?.ready, 7)
  })

  test('a queue that is full takes what meets a held unique key, because no row is added', async (bench) => {
    const unique = { key: 'k', scope: 'unfinished', onConflict: 'return' } as const
    const small = (row: Partial<NewRow>): NewRow => newRow({ queue: 'small', maxReady: 1, ...row })
    const [first] = await bench.store.insert([small({ args: '[1]', unique })])
    const [met] = await bench.store.insert([small({ args: '[2]', unique })])
    assert.deepEqual([met?.row.id, met?.row.args, met?.isDuplicate], [first?.row.id, '[1]', true])
    const [replaced] = await bench.store.insert([small({ args: '[3]', unique: { ...unique, onConflict: 'replace' } })])
    assert.deepEqual([replaced?.row.id, replaced?.row.args], [first?.row.id, '[3]'])
    await assert.rejects(bench.store.insert([small({ unique: { ...unique, onConflict: 'throw' } })]), { code: 'FST_TASKS_NOT_UNIQUE' })
    await assert.rejects(bench.store.insert([small({ unique: { ...unique, key: 'other' } })]), { code: 'FST_TASKS_QUEUE_FULL' })
    await assert.rejects(bench.store.insert([small({ unique }), small({})]), { code: 'FST_TASKS_QUEUE_FULL' })
    const [elsewhere] = await bench.store.insert([newRow({ unique: { ...unique, key: 'elsewhere' } })])
    await assert.rejects(bench.store.insert([small({ unique: { ...unique, key: 'elsewhere', onConflict: 'replace' } })]), { code: 'FST_TASKS_QUEUE_FULL' })
    assert.equal((await bench.get(elsewhere!.row.id)).queue, 'default')
    assert.equal((await bench.store.stats(BACKEND)).queues['small']?.ready, 1)
  })

  test('rows that were stored before are not refused by a queue that is full of them', async (bench) => {
    const row = newRow({ queue: 'small', maxReady: 1 })
    await bench.store.insert([row])
    assert.equal((await bench.store.insert([row]))[0]?.row.id, row.id)
  })

  hostile(test)
}

const hostile: Chapter = (test) => {
  test('text of every kind comes back as it went in: arguments, return values, errors and progress', async (bench) => {
    const value = JSON.stringify([...HOSTILE_TEXTS, ...ESCAPED_TEXTS])
    const { row, worker } = await bench.running({ args: value, options: value })
    assert.equal(await bench.store.progress(worker.id, row, value), true)
    assert.equal((await bench.get(row.id)).progress, value)
    const errors = [...HOSTILE_TEXTS, ...ESCAPED_TEXTS].map((text) => storedError({ message: text, exceptionClass: text.slice(0, 20), traceback: text, code: text }))
    await worker.finish(ending(row, 'READY', { errors: errors.slice(0, 10) }))
    const again = await worker.claimEventually(row.id)
    assert.deepEqual(again.errors, errors.slice(0, 10))
    await worker.finish(ending(again, 'SUCCESSFUL', { value }))
    const stored = await bench.get(row.id)
    assert.deepEqual([stored.args, stored.options, stored.returnValue], [value, value, value])
  })

  test('what a serializer made of arguments comes back as it went in: lines, quotes, nothing at all', async (bench) => {
    const texts = ['', 'a\nb', '\n', '\n\n', 'a\n', '"', '\\', '{a,b}', 'NULL', ...HOSTILE_TEXTS]
    for (const together of [texts, texts.filter((text) => text !== ''), texts.filter((text) => !text.includes('\n')), ...texts.map((text) => [text])]) {
      const rows = together.map((args) => newRow({ args }))
      const inserted = await bench.store.insert(rows)
      assert.deepEqual(inserted.map(({ row }) => row.args), together)
      for (const [index, { id }] of rows.entries()) assert.equal((await bench.get(id)).args, together[index])
    }
  })

  test('text that looks like SQL or like a pattern is data: names, tags and keys', async ({ store }) => {
    for (const text of HOSTILE_TEXTS) {
      const rows = [newRow({ task: text, queue: text, tags: [text], unique: { key: text, scope: 'unfinished', onConflict: 'return' } }), newRow({ tags: ['x'] })]
      await store.insert(rows)
      for (const filter of [{ task: text }, { queue: text }, { tag: text }]) {
        const { rows: found } = await store.list({ backend: BACKEND, limit: 10, ...filter })
        assert.deepEqual(ids(found), [rows[0]!.id], `${Object.keys(filter)[0]} ${JSON.stringify(text)} finds its own row and no other`)
      }
      assert.equal((await store.cancel({ backend: BACKEND, tag: text })).cancelled.length, 1)
    }
    assert.equal((await store.list({ backend: BACKEND, status: 'READY', limit: 1_000 })).rows.length, HOSTILE_TEXTS.length)
  })

  test('a hostile id finds nothing and breaks nothing', async ({ store }) => {
    for (const id of [...HOSTILE_TEXTS, '', 'x'.repeat(10_000)]) {
      assert.equal(await store.get(id), null)
      assert.deepEqual(await store.cancel({ backend: BACKEND, id }), { cancelled: [], signalled: [] })
      assert.deepEqual(await store.requeue({ backend: BACKEND, id }), [])
    }
  })
}
