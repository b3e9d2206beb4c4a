import t from 'tap'
import { Coalescer } from '#lib/backends/coalescer.js'
import type { InsertedRow, NewRow } from '#lib/store/store.js'
import { QUEUE_FULL, STORE_UNAVAILABLE } from '#lib/core/errors.js'

function row (id: string, args = '[]'): NewRow {
  return { id, args } as NewRow
}

/** An insert that is answered by hand. */
class Inserts {
  readonly calls: string[][] = []
  readonly #answers: Array<() => void> = []
  #onCall = (): void => {}
  refuse: (ids: string[]) => Error | undefined = () => undefined

  readonly insert = async (rows: readonly NewRow[]): Promise<InsertedRow[]> => {
    const ids = rows.map(({ id }) => id)
    this.calls.push(ids)
    this.#onCall()
    await new Promise<void>((resolve) => { this.#answers.push(resolve) })
    const error = this.refuse(ids)
    if (error !== undefined) throw error
    return rows.map((each) => ({ row: each as unknown as InsertedRow['row'], isDuplicate: false }))
  }

  /** Resolves when so many calls have been made. */
  async called (count: number): Promise<void> {
    while (this.calls.length < count) await new Promise<void>((resolve) => { this.#onCall = resolve })
  }

  async answerLast (): Promise<void> {
    this.#answers.pop()?.()
    await new Promise((resolve) => { setImmediate(resolve) })
  }

  async answer (): Promise<void> {
    this.#answers.shift()?.()
    await new Promise((resolve) => { setImmediate(resolve) })
  }
}

const idsOf = (inserted: InsertedRow[]): string[] => inserted.map(({ row }) => row.id)
const tick = async (): Promise<void> => { await Promise.resolve() }

t.test('a lone enqueue is sent within its tick', async (t) => {
  const inserts = new Inserts()
  const coalescer = new Coalescer(inserts.insert, 1)
  const stored = coalescer.add([row('a')])
  await tick()
  t.same(inserts.calls, [['a']])
  await inserts.answer()
  t.same(idsOf(await stored), ['a'])
})

t.test('those that meet share a statement, and those that come meanwhile the next one', async (t) => {
  const inserts = new Inserts()
  const coalescer = new Coalescer(inserts.insert, 1)
  const early = [coalescer.add([row('a')]), coalescer.add([row('b'), row('c')])]
  await tick()
  const late = [coalescer.add([row('d')]), coalescer.add([row('e')])]
  t.same(inserts.calls, [['a', 'b', 'c']])
  await inserts.answer()
  t.same((await Promise.all(early)).map(idsOf), [['a'], ['b', 'c']])
  t.same(inserts.calls, [['a', 'b', 'c'], ['d', 'e']])
  await inserts.answer()
  t.same((await Promise.all(late)).map(idsOf), [['d'], ['e']])
  const again = coalescer.add([row('f')])
  await tick()
  await inserts.answer()
  t.same(idsOf(await again), ['f'], 'and it goes on after it was idle')
})

t.test('a bad row fails alone, and what belongs to it', async (t) => {
  const inserts = new Inserts()
  const full = new QUEUE_FULL('q', 1)
  inserts.refuse = (ids) => ids.includes('bad') ? full : undefined
  const coalescer = new Coalescer(inserts.insert, 1)
  const added = [coalescer.add([row('a')]), coalescer.add([row('with it'), row('bad')]), coalescer.add([row('b')])]
  const settled = Promise.allSettled(added)
  await tick()
  for (let call = 0; call < 4; call++) await inserts.answer()
  t.same(inserts.calls, [['a', 'with it', 'bad', 'b'], ['a'], ['with it', 'bad'], ['b']])
  t.same((await settled).map((each) => each.status === 'fulfilled' ? idsOf(each.value) : each.reason), [['a'], full, ['b']])
})

t.test('a database that is away fails them together, without a call for each', async (t) => {
  const inserts = new Inserts()
  const away = new STORE_UNAVAILABLE('store tasks', 'ECONNREFUSED')
  inserts.refuse = () => away
  const coalescer = new Coalescer(inserts.insert, 1)
  const settled = Promise.allSettled([coalescer.add([row('a')]), coalescer.add([row('b')])])
  await tick()
  await inserts.answer()
  t.same((await settled).map((each) => each.status === 'rejected' && each.reason), [away, away])
  t.equal(inserts.calls.length, 1)
})

t.test('a statement is bounded in rows and in bytes, and what belongs together is not split', async (t) => {
  const inserts = new Inserts()
  const coalescer = new Coalescer(inserts.insert, 1)
  const many = Array.from({ length: 1_200 }, (_, index) => row(`m${index}`))
  const big = 'x'.repeat(5 * 1024 * 1024)
  const added = [coalescer.add([row('a')]), coalescer.add(many), coalescer.add([row('b', big)]), coalescer.add([row('c', big)]), coalescer.add([row('d')])]
  await tick()
  for (let call = 0; call < 5; call++) await inserts.answer()
  await Promise.all(added)
  t.same(inserts.calls.map((ids) => ids.length > 5 ? ids.length : ids), [['a'], 1_200, ['b'], ['c', 'd']])
})

t.test('where two may write at once, a second statement leaves beside few rows when it has as many, and a third waits', async (t) => {
  const inserts = new Inserts()
  const coalescer = new Coalescer(inserts.insert, 2, 60_000)
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k']
  const added = names.slice(0, 5).map((name) => coalescer.add([row(name)]))
  await tick()
  for (const name of names.slice(5, 9)) added.push(coalescer.add([row(name)]))
  await tick()
  t.same(inserts.calls, [['a', 'b', 'c', 'd', 'e']], 'four would make two small ones of one')
  added.push(coalescer.add([row('j')]))
  await tick()
  t.same(inserts.calls.slice(1), [['f', 'g', 'h', 'i', 'j']])
  added.push(coalescer.add([row('k')]))
  await tick()
  t.equal(inserts.calls.length, 2)
  await inserts.answer()
  t.same(inserts.calls.slice(2), [], 'one alone is no reason for a second')
  await inserts.answer()
  t.same(inserts.calls.slice(2), [['k']])
  await inserts.answer()
  t.same((await Promise.all(added)).map(idsOf), names.map((name) => [name]))
})

const MANY = Array.from({ length: 13 }, (_, index) => `n${index}`) // more than a second statement leaves beside at once

async function manyUnderWay (secondAfterMs: number): Promise<{ inserts: Inserts, coalescer: Coalescer, added: Array<Promise<InsertedRow[]>> }> {
  const inserts = new Inserts()
  const coalescer = new Coalescer(inserts.insert, 2, secondAfterMs)
  const added = MANY.map((name) => coalescer.add([row(name)]))
  await tick()
  return { inserts, coalescer, added }
}

t.test('beside many rows a second statement leaves by itself, once they have been under way for long enough', async (t) => {
  const began = performance.now()
  const { inserts, coalescer, added } = await manyUnderWay(1_000)
  for (const name of MANY) added.push(coalescer.add([row(`late ${name}`)]))
  await tick()
  t.equal(inserts.calls.length, 1, 'a database that is near has answered before it would')
  await inserts.called(2)
  t.ok(performance.now() - began >= 999, 'not at once')
  t.same(inserts.calls[1], MANY.map((name) => `late ${name}`))
  for (let call = 0; call < 2; call++) await inserts.answer()
  await Promise.all(added)
})

t.test('beside a statement that does not come back others leave one after the other, and wait no more', async (t) => {
  const { inserts, coalescer, added } = await manyUnderWay(1_000)
  for (const name of MANY) added.push(coalescer.add([row(`late ${name}`)]))
  await inserts.called(2)
  const since = performance.now()
  await inserts.answerLast()
  for (const name of MANY) added.push(coalescer.add([row(`later ${name}`)]))
  await tick()
  t.equal(inserts.calls.length, 3)
  t.ok(performance.now() - since < 1_000)
  for (let call = 0; call < 2; call++) await inserts.answer()
  await Promise.all(added)
})

t.test('where many rows are answered in time, all that wait leave in one statement', async (t) => {
  const { inserts, coalescer, added } = await manyUnderWay(60_000)
  for (const name of [...MANY, 'and', 'more']) added.push(coalescer.add([row(name)]))
  await tick()
  t.same(inserts.calls, [MANY])
  await inserts.answer()
  t.same(inserts.calls.slice(1), [[...MANY, 'and', 'more']])
  await inserts.answer()
  await Promise.all(added)
})
