import assert from 'node:assert/strict'
import t from 'tap'
import { Backoff } from '#lib/worker/backoff.js'
import { HeirTime } from '#lib/worker/heir-time.js'
import { Ledger } from '#lib/worker/ledger.js'
import { Loop } from '#lib/worker/loop.js'
import { Pace } from '#lib/worker/pace.js'
import { Pruner } from '#lib/worker/pruner.js'
import { jittered, settledWithin } from '#lib/worker/pause.js'
import { residentBytes } from '#lib/worker/resident.js'
import { eventually } from '../support/eventually.ts'
import { fakeLog, fakeStore } from './fake-store.ts'

t.test('a back-off doubles up to its limit, is spread, and starts anew', async (t) => {
  const backoff = new Backoff(100, 1_000)
  const pauses = Array.from({ length: 6 }, () => backoff.next())
  for (const [index, most] of [100, 200, 400, 800, 1_000, 1_000].entries()) {
    const pause = pauses[index] as number
    t.ok(pause <= most && pause >= most * 0.75, String(pause))
  }
  backoff.reset()
  t.ok(backoff.next() <= 100)
})

t.test('a process that hands back has its time, or a multiple of what the slowest took to boot', async (t) => {
  const time = new HeirTime()
  t.same([time.milliseconds(false), time.milliseconds(true)], [15_000, 10_000])
  time.booted(2_000)
  t.same([time.milliseconds(false), time.milliseconds(true)], [15_000, 10_000])
  time.booted(20_000)
  time.booted(1_000)
  t.same([time.milliseconds(false), time.milliseconds(true)], [60_000, 40_000])
})

t.test('a process whose size cannot be read has the one that was read last', async (t) => {
  const { memoryUsage } = process
  const { rss } = memoryUsage
  t.teardown(() => { memoryUsage.rss = rss })
  memoryUsage.rss = () => 7
  t.equal(residentBytes(), 7)
  memoryUsage.rss = () => { throw new Error('EMFILE: too many open files, uv_resident_set_memory') }
  t.equal(residentBytes(), 7)
})

t.test('nothing is claimed ahead of slow tasks, or before one was measured', async (t) => {
  const pace = new Pace(10)
  t.equal(pace.startsWithin(20), 0)
  pace.add(1)
  t.equal(pace.startsWithin(20), 200)
  t.equal(pace.stride, 0, 'rows that take a millisecond are marked when they start')
  pace.add(10_000)
  t.equal(pace.startsWithin(20), 0, 'one long task is enough')
  pace.forget()
  pace.add(0.1)
  t.equal(pace.stride, 400)
})

t.test('the ledger knows which claims nobody here has', async (t) => {
  const ledger = new Ledger()
  const [first, second, third] = [ledger.ask(), ledger.ask(), ledger.ask()]
  t.same([first, second, third], [1, 2, 3])
  const claim = ledger.arrived(first, 2, 2)
  ledger.lost(second)
  t.same(ledger.strangers([1, 2, 3]), [2], 'one is held, one is being asked for')
  t.same(ledger.endedWith([claim]), [])
  t.same(ledger.endedWith([claim, claim]), [1])
  ledger.written([claim, claim], [1])
  t.same(ledger.strangers([1]), [1])
  ledger.arrived(third, 0, 0)
  t.same(ledger.strangers([3]), [3], 'an empty reply leaves nothing to hold')
})

t.test('an interval is spread, and never longer than was asked for: bounds rest on it', async (t) => {
  const intervals = Array.from({ length: 1_000 }, () => jittered(100))
  t.ok(Math.max(...intervals) <= 100)
  t.ok(Math.min(...intervals) >= 80)
  t.ok(new Set(intervals).size > 10)
})

t.test('a loop runs again after a failure, and stop() waits for the turn under way', async (t) => {
  let turns = 0
  const errors: unknown[] = []
  let inside = false
  const loop = new Loop({
    every: 1,
    onError: (error) => { errors.push(error) },
    run: async () => {
      inside = true
      await new Promise((resolve) => setTimeout(resolve, 5))
      inside = false
      if (++turns === 1) throw new Error('once')
    }
  })
  loop.start()
  await eventually(() => { assert.ok(turns >= 3, 'not yet') })
  await loop.stop()
  t.equal(inside, false)
  t.match(errors, [{ message: 'once' }])
  const after = turns
  await new Promise((resolve) => setTimeout(resolve, 10))
  t.equal(turns, after)
})

const RETENTION = { successful: 1_000, failed: null, cancelled: 1_000 }

t.test('an interval of months is not one of a millisecond', async (t) => {
  let turns = 0
  const loop = new Loop({ every: 2 ** 33, run: async () => { turns += 1 }, onError: (error) => { throw error } })
  loop.start()
  await settledWithin(new Promise(() => {}), 50)
  t.equal(turns, 1)
  await loop.stop()
})

t.test('old results are pruned in batches until none is left, or the worker stops', async (t) => {
  const { log } = fakeLog()
  let left = 2_500
  const limits: number[] = []
  const afters: unknown[] = []
  const store = fakeStore({
    prune: async ({ limit, after }) => {
      limits.push(limit)
      afters.push(after)
      const deleted = Math.min(limit, left)
      left -= deleted
      return { deleted, after: left > 0 ? String(left) : null }
    }
  })
  t.equal(await new Pruner(store, 'default', RETENTION, log).runOnce(new AbortController().signal), 2_500)
  t.same(limits, [1_000, 1_000, 1_000])
  t.same(afters, [null, '1500', '500'], 'each batch goes on behind the one before')
  left = 2_500
  const stopped = AbortSignal.abort()
  t.equal(await new Pruner(store, 'default', RETENTION, log).runOnce(stopped), 0)
})

t.test('settledWithin tells whether a promise came in time', async (t) => {
  t.equal(await settledWithin(Promise.resolve(), 1_000), true)
  t.equal(await settledWithin(Promise.reject(new Error('no')), 1_000), true)
  t.equal(await settledWithin(new Promise(() => {}), 5), false)
  t.equal(await settledWithin(new Promise(() => {}), 60_000, AbortSignal.abort()), false)
})
