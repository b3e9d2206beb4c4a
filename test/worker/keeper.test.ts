import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import { beatInterval, Heartbeat } from '#lib/worker/heartbeat.js'
import { Keeper, type Guard, type KeeperReport, type KeeperSettings } from '#lib/worker/keeper.js'
import { monotonic } from '#lib/worker/pause.js'
import type { Ending, Store } from '#lib/store/store.js'
import { eventually } from '../support/eventually.ts'
import { fakeStore, type Renewal } from './fake-store.ts'

const held: Renewal = { held: true, claims: [7], cancelled: [] }

function keeperOn (t: Test, store: Partial<Store>, { guard = null, rows = 0, held = () => rows, ...settings }: Partial<KeeperSettings> & { guard?: Guard | null, rows?: number, held?: () => number } = {}): { keeper: Keeper, reports: KeeperReport[] } {
  const reports: KeeperReport[] = []
  const keeper = new Keeper(fakeStore({ cancelled: async () => [], ...store }), { worker: 'w', leaseMs: 150, maxBlockMs: 100, takenAt: monotonic(), ...settings }, {
    report: (report) => { reports.push(report) },
    held,
    guard
  })
  t.teardown(async () => { await keeper.stop() })
  keeper.start()
  return { keeper, reports }
}

t.test('the lease is renewed by thirds, and the claims of the store are passed on', async (t) => {
  const { reports } = keeperOn(t, { renew: async () => held })
  await eventually(() => { assert.ok(reports.length >= 4, 'not yet') })
  t.match(reports[0], { type: 'renewed', claims: [7] })
  const [first, second] = reports.map((report) => (report as { sentAt: number }).sentAt) as [number, number]
  t.ok(second - first >= 50)
})

t.test('a renewal counts from when it was sent, and not from when it was answered', async (t) => {
  const { reports } = keeperOn(t, { renew: async () => { await new Promise((resolve) => setTimeout(resolve, 60)); return held } })
  const sent = monotonic()
  const report = await eventually(() => { assert.ok(reports[0], 'not yet'); return reports[0] as { sentAt: number } })
  t.ok(report.sentAt - sent < monotonic() - sent - 50)
})

t.test('a failed renewal is tried again at once, and one that comes too late ends it', async (t) => {
  const answers = ['fail', 'fail', 'held', 'lost']
  let calls = 0
  const { reports } = keeperOn(t, {
    renew: async () => {
      calls += 1
      const answer = answers.shift()
      if (answer === 'fail') throw new Error('away')
      return answer === 'held' ? held : { held: false, claims: [], cancelled: [] }
    }
  })
  await eventually(() => { assert.equal(reports.at(-1)?.type, 'lost') })
  t.same(reports.map(({ type }) => type), ['failed', 'failed', 'renewed', 'lost'])
  await new Promise((resolve) => setTimeout(resolve, 120))
  t.equal(calls, 4, 'a lost lease is not asked for again')
})

t.test('cancellations are asked for while something is held, and passed on', async (t) => {
  const { reports } = keeperOn(t, { renew: async () => held, cancelled: async () => ['a'] }, { rows: 1, leaseMs: 60_000 })
  await eventually(() => { assert.deepEqual(reports, [{ type: 'cancelled', ids: ['a'] }]) })
  let asked = 0
  keeperOn(t, { renew: async () => held, cancelled: async () => { asked += 1; return [] } }, { rows: 0, leaseMs: 300 })
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.equal(asked, 0)
})

t.test('a loop that stands still for longer than allowed is reported; one that turns is not', async (t) => {
  const heartbeat = new Heartbeat()
  const blocked: number[] = []
  keeperOn(t, { renew: async () => held }, { leaseMs: 60_000, maxBlockMs: 150, guard: { heartbeat, onTick: () => {}, onBlocked: (ms) => { blocked.push(ms) } } })
  const beats = setInterval(() => { heartbeat.beat() }, 10)
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.same(blocked, [])
  clearInterval(beats)
  await eventually(() => { assert.ok(blocked.length > 0, 'not yet') })
  t.ok((blocked[0] as number) >= 150)
})

t.test('a loop that stood still for less than allowed is left alone, however long before its last beat was', async (t) => {
  const heartbeat = new Heartbeat()
  const blocked: number[] = []
  let onTick = (): void => {}
  const looked = new Promise<void>((resolve) => { onTick = resolve })
  const maxBlockMs = 1_000
  const { reports } = keeperOn(t, { renew: async () => held }, { leaseMs: 60_000, takenAt: monotonic() - 20_000, maxBlockMs, guard: { heartbeat, onTick, onBlocked: (ms) => { blocked.push(ms) } } })
  heartbeat.beat()
  await looked
  await new Promise((resolve) => setTimeout(resolve, beatInterval(maxBlockMs) - 10 + maxBlockMs - 100)) // what a block of 900 ms looks like that began just before a beat
  t.same(blocked, [])
  t.equal(reports.at(-1)?.type, 'renewed')
  await eventually(() => { assert.ok(blocked.length > 0, 'not yet') })
})

t.test('a loop is not held to time that the keeper had none of either: then the machine was too busy for both', async (t) => {
  const blocked: number[] = []
  const maxBlockMs = 900
  keeperOn(t, { renew: async () => held }, { leaseMs: 60_000, maxBlockMs, guard: { heartbeat: new Heartbeat(), onTick: () => {}, onBlocked: (ms) => { blocked.push(ms) } } })
  const nothing = new Int32Array(new SharedArrayBuffer(4))
  const begun = monotonic()
  // Each look comes 400 ms late, and finds no beat.
  for (let look = 0; look < 5; look++) {
    await new Promise((resolve) => setTimeout(resolve, 0))
    Atomics.wait(nothing, 0, 0, 500)
  }
  await new Promise((resolve) => setTimeout(resolve, 0))
  t.ok(monotonic() - begun > 1.5 * maxBlockMs)
  t.same(blocked, [])
  await eventually(() => { assert.ok(blocked.length > 0, 'not yet') }) // of a loop that never turns again
})

t.test('while nothing is held a keeper looks five times less often; when something is, or the loop stands still, as often as ever', async (t) => {
  const heartbeat = new Heartbeat()
  let looks: boolean[] = []
  let blockedMs = 0
  keeperOn(t, { renew: async () => held }, {
    leaseMs: 60_000,
    maxBlockMs: 2_000,
    held: () => heartbeat.held,
    guard: { heartbeat, onTick: (resting) => { looks.push(resting) }, onBlocked: (ms) => { blockedMs ||= ms } }
  })
  const beats = setInterval(() => { heartbeat.beat() }, 20)
  const lookedFor = async (ms: number): Promise<number> => {
    looks = []
    await new Promise((resolve) => setTimeout(resolve, ms))
    return looks.length
  }
  await eventually(() => { assert.ok(looks.includes(true), 'not yet') })
  const begun = monotonic()
  const resting = await lookedFor(2_000)
  t.ok(resting <= 5 + (monotonic() - begun) / 500, `${resting} looks in two seconds, and not twenty`)
  heartbeat.held = 1
  await eventually(() => { assert.ok(looks.filter((rests) => !rests).length > 5, 'not yet') })
  heartbeat.held = 0
  clearInterval(beats)
  await eventually(() => { assert.ok(blockedMs >= 2_000, 'not yet') })
})

t.test('a keeper that is started twice keeps once', async (t) => {
  let ticks = 0
  const { keeper } = keeperOn(t, { renew: async () => held }, { leaseMs: 300, guard: { heartbeat: new Heartbeat(), onTick: () => { ticks += 1 }, onBlocked: () => {} } })
  keeper.start()
  await keeper.stop()
  const before = ticks
  await new Promise((resolve) => setTimeout(resolve, 5 * keeper.tickMs))
  t.equal(ticks, before, 'and stops as a whole')
})

t.test('a blocked loop is reported as soon as an attempt is past its limits, with how that attempt ends', async (t) => {
  const heartbeat = new Heartbeat()
  const ending: Ending = { id: 'a', claim: 1, status: 'FAILED', errors: [] }
  const late: unknown[] = []
  const { keeper } = keeperOn(t, { renew: async () => held }, { leaseMs: 60_000, maxBlockMs: 40_000, guard: { heartbeat, onTick: () => {}, onBlocked: (_, endings) => { late.push(endings) } } })
  const begun = performance.now()
  keeper.watched.set('a', { deadline: monotonic() + 100, ending })
  await eventually(() => { assert.ok(late.length > 0, 'not yet') })
  t.same(late[0], [ending])
  t.ok(performance.now() - begun >= 100)
})
