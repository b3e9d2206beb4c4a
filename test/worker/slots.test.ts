import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import type { Store } from '#lib/store/store.js'
import type { Entry } from '#lib/worker/buffer.js'
import { Ledger } from '#lib/worker/ledger.js'
import { Outage } from '#lib/worker/outage.js'
import { Pace } from '#lib/worker/pace.js'
import type { Run } from '#lib/worker/runner.js'
import { Slots } from '#lib/worker/slots.js'
import { eventually } from '../support/eventually.ts'
import { claimedRow, fakeLog, fakeStore } from './fake-store.ts'

/** Slots whose runs end when the test says so. */
function slotsOf (t: Test, concurrency: number, settings: { maxTasks?: number, store?: Partial<Store> } = {}): any {
  const { log } = fakeLog()
  const pace = new Pace(concurrency)
  const started: string[] = []
  const released: string[] = []
  const aborted: string[] = []
  const marks: number[] = []
  const begun: string[] = []
  const runner: any = {
    start: (entry: Entry): Run => {
      started.push(begun.at(-1) === entry.row.id ? entry.row.id : `${entry.row.id}, unannounced`)
      return { row: entry.row, entry, session: entry.session, slot: -1, attempt: null, aborted: null, held: null, stuck: false, committed: false, watched: false, progress: null }
    },
    release: ({ row }: Entry, cancelled: boolean) => { released.push(cancelled ? `${row.id} cancelled` : row.id) },
    abort: ({ row }: Run, cause: string) => { aborted.push(`${row.id} ${cause}`) }
  }
  const store = fakeStore({ markStarted: async (_, count) => { marks.push(count) }, ...settings.store })
  const slots = new Slots({ store, concurrency, maxTasks: settings.maxTasks ?? null, pace, runner, outage: new Outage(log), onStart: ({ row }) => { begun.push(row.id) } })
  const ledger = new Ledger()
  const session: any = { id: 'w', ledger, lost: false, hold: () => {}, reporter: { idle: true } }
  t.teardown(() => { slots.close() })
  const add = (ids: string[], marked: number, fields = {}): void => {
    slots.add(session, ledger.arrived(ledger.ask(), ids.length, marked), ids.map((id) => claimedRow({ id, ...fields })))
  }
  const free = (id: string): void => {
    for (const run of slots.runs) if (run.row.id === id) slots.free(run)
    slots.pump()
  }
  return { slots, pace, session, started, released, aborted, marks, add, free }
}

t.test('a claim takes what there are slots for, and ahead only where tasks are short', async (t) => {
  const { slots, pace, add } = slotsOf(t, 4)
  t.same(slots.room(), { limit: 4, start: 4, free: 4 })
  pace.add(2)
  t.same(slots.room(), { limit: 44, start: 4, free: 4 }, '20 ms of work ahead')
  add(Array.from({ length: 44 }, (_, index) => `r${index}`), 4)
  t.equal(slots.runs.size, 4)
  t.equal(slots.room(), null, 'the buffer is full')
})

t.test('what is marked ahead takes no slot: free are only those where nothing runs and nothing is to', async (t) => {
  const { slots, pace, add } = slotsOf(t, 4)
  pace.add(0.1)
  add(['a', 'b', 'c'], 3)
  t.match(slots.room(), { start: 161, free: 1 }, '4 ms of work are marked')
  add(['d', 'e'], 2)
  t.match(slots.room(), { start: 159, free: 0 })
})

t.test('maxTasks counts what is started and what is claimed for it', async (t) => {
  const { slots, add, free } = slotsOf(t, 2, { maxTasks: 3 })
  t.same(slots.room(), { limit: 2, start: 2, free: 2 })
  add(['a', 'b'], 2)
  t.equal(slots.room(), null)
  free('a')
  t.same(slots.room(), { limit: 1, start: 1, free: 1 })
  add(['c'], 1)
  free('b')
  t.equal(slots.room(), null)
  t.equal(slots.spent, true)
})

t.test('a buffered row starts only after its claim says so, because what is marked is charged when the process dies', async (t) => {
  let answer = (): void => {}
  const marks: number[] = []
  const { started, add, free } = slotsOf(t, 1, { store: { markStarted: async (_, count) => { marks.push(count); await new Promise<void>((resolve) => { answer = resolve }) } } })
  add(['a', 'b', 'c'], 1)
  t.same(started, ['a'])
  free('a')
  t.same(started, ['a'], 'not yet')
  t.same(marks, [2], 'this one, and no other')
  answer()
  await eventually(() => { assert.deepEqual(started, ['a', 'b']) })
})

t.test('a buffered row that is cancelled is handed back and never starts; a running one is aborted', async (t) => {
  const { slots, session, started, released, aborted, add, free } = slotsOf(t, 1)
  add(['a', 'b', 'c'], 3)
  slots.cancel(session, ['a', 'b', 'unknown'])
  t.same(aborted, ['a cancelled'])
  t.same(released, ['b cancelled'])
  free('a')
  t.same(started, ['a', 'c'])
  slots.cancel({ ...session }, ['c'])
  t.same(aborted, ['a cancelled'], "another session's word does not count")
})

t.test('what a claim brings after an attempt has ignored its signal is handed back, and what was there before it is run', async (t) => {
  const { slots, pace, started, released, add, free } = slotsOf(t, 2)
  pace.add(1)
  add(['a', 'b', 'c'], 3)
  slots.stick()
  add(['d', 'e'], 2)
  t.same(released, ['d', 'e'])
  free('b')
  t.same(started, ['a', 'b', 'c'])
})

t.test('what is buffered and does not get its turn goes back', async (t) => {
  const { released, add, pace, slots } = slotsOf(t, 1)
  pace.add(1)
  add(['a', 'b', 'c'], 3)
  await eventually(() => { assert.deepEqual(released, ['b', 'c']) })
  t.equal(slots.room(), null, 'and is not claimed again while the slot is taken')
})

t.test('a row that has seen a death waits until what ended beside it is written', async (t) => {
  const { slots, session, started, add } = slotsOf(t, 2)
  session.reporter.idle = false
  add(['a'], 1, { deaths: 1 })
  t.same(started, [])
  session.reporter.idle = true
  slots.pump()
  t.same(started, ['a'])
})

t.test('after close nothing starts: what is buffered or comes late is handed back', async (t) => {
  const { slots, released, started, add } = slotsOf(t, 1)
  add(['a', 'b'], 2)
  slots.close()
  add(['c'], 1)
  t.same(started, ['a'])
  t.same(released, ['b', 'c'])
})
