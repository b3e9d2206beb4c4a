import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import { Claimer, type ClaimerSettings } from '#lib/worker/claimer.js'
import type { Room } from '#lib/worker/room.js'
import { Ledger } from '#lib/worker/ledger.js'
import { Outage } from '#lib/worker/outage.js'
import { Parking } from '#lib/worker/parking.js'
import type { ClaimRequest, Lane, LaneHead, LimitedClaimRequest, LimitedHead, Store } from '#lib/store/store.js'
import { eventually } from '../support/eventually.ts'
import { claimedRow, fakeLog, fakeStore } from './fake-store.ts'

interface Stored { readonly id: string, readonly queue: string, readonly priority: number, readonly due: number, readonly tie: number }

/** A claimer over rows in memory. `room` is asked before each look; null stops it. */
function claimerOver (t: Test, stored: Stored[], rooms: Array<Room | null>, settings: Partial<ClaimerSettings> = {}, verbs: Partial<Store> = {}): { claimer: Claimer, claims: ClaimRequest[], taken: string[], dry: () => Promise<number> } {
  const { log } = fakeLog()
  const claims: ClaimRequest[] = []
  const taken: string[] = []
  const ledger = new Ledger()
  let dried: Array<(rows: number) => void> = []
  const store = fakeStore({
    lanes: async () => {
      const lanes = new Map<string, LaneHead>()
      for (const { queue, priority, due } of stored) {
        const known = lanes.get(`${queue} ${priority}`)
        lanes.set(`${queue} ${priority}`, { queue, priority, due: Math.min(due, known?.due ?? Infinity) })
      }
      return { lanes: [...lanes.values()], now: 1_000 }
    },
    claim: async (request) => {
      claims.push(request)
      const fits = stored.filter((row) => row.due <= 1_000 && isWanted(request, row))
      const rows = fits.sort((a, b) => b.priority - a.priority || a.due - b.due || a.tie - b.tie).slice(0, request.limit)
      for (const row of rows) stored.splice(stored.indexOf(row), 1)
      return rows.map(({ id, queue, priority, due, tie }) => claimedRow({ id, queue, priority, due, claim: request.claim, cursor: { due, tie } }))
    },
    ...verbs
  })
  const session: any = { id: 'w', ledger, lost: false, returnUnsure: async () => {} }
  const claimer = new Claimer({
    store,
    backend: 'default',
    queueName: null,
    excludeQueues: [],
    interval: 60_000,
    quarantined: () => false,
    tasks: () => ['note'],
    parking: new Parking({ store, backend: 'default', tasks: () => ['note'] }),
    outage: new Outage(log),
    log,
    room: () => rooms.shift() ?? null,
    session: () => session,
    onRows: (_, __, rows) => { taken.push(...rows.map(({ id }) => id)) },
    onDry: (rows) => { for (const resolve of dried.splice(0)) resolve(rows) },
    ...settings
  })
  t.teardown(async () => { await claimer.stop(); dried = [] })
  return { claimer, claims, taken, dry: async () => await new Promise((resolve) => { dried.push(resolve) }) }
}

function isWanted ({ lanes }: ClaimRequest, { queue, priority, due, tie }: Stored): boolean {
  if ('except' in lanes) return (lanes.only === null || lanes.only.includes(queue)) && !lanes.except.includes(queue)
  return lanes.some((lane) => lane.queue === queue && lane.priority === priority && (lane.after === null || due > lane.after.due || (due === lane.after.due && tie > lane.after.tie)))
}

/** The lanes that a claim named. */
function named ({ lanes }: ClaimRequest): readonly Lane[] {
  return 'except' in lanes ? [] : lanes
}

const row = (id: string, fields: Partial<Stored> = {}): Stored => ({ id, queue: 'default', priority: 0, due: 1, tie: Number(id.slice(1)), ...fields })

t.test('the highest priority is claimed first, and lanes of one priority in one claim', async (t) => {
  const { claimer, claims, taken, dry } = claimerOver(t, [row('a1'), row('a2', { queue: 'other' }), row('a3', { priority: 9 }), row('a4', { due: 5_000 })], [{ limit: 10, start: 2, free: 2 }])
  const ended = dry()
  claimer.wake()
  t.equal(await ended, 3)
  t.same(taken, ['a3', 'a1', 'a2'])
  t.same(claims.map((request) => [named(request).length, request.limit, request.start, request.claim]), [[1, 10, 2, 1], [2, 9, 1, 2]], 'what starts at once is counted once')
})

t.test('a full claim moves the cursor; a short one looks from the start of the lane before lower priorities', async (t) => {
  const stored = [row('a5'), row('a6'), row('a7'), row('a8', { priority: -1 })]
  const { claimer, claims, taken, dry } = claimerOver(t, stored, [{ limit: 2, start: 2, free: 2 }, { limit: 5, start: 5, free: 5 }])
  const ended = dry()
  claimer.wake()
  stored.push(row('a1')) // committed late, behind the cursor
  await ended
  t.same(taken.slice(0, 2).length, 2)
  t.same([...taken].sort(), ['a1', 'a5', 'a6', 'a7', 'a8'])
  t.equal(taken.at(-1), 'a8')
  t.ok(claims.some((request) => named(request)[0]?.after !== null), 'the second claim began behind the first')
})

t.test('a claim that began before the cursors were forgotten moves none', async (t) => {
  const stored = [row('a5'), row('a6'), row('a7')]
  const { claimer, taken, dry } = claimerOver(t, stored, [{ limit: 1, start: 1, free: 1 }, { limit: 1, start: 1, free: 1 }, { limit: 5, start: 5, free: 5 }], {
    onRows: (_, __, rows) => {
      taken.push(...rows.map(({ id }) => id))
    }
  }, {
    claim: async (request) => {
      const { limit, claim } = request
      const first = taken.length === 0
      const after = named(request)[0]?.after?.tie ?? -1
      const rows = stored.filter(({ tie }) => tie > after).sort((a, b) => a.tie - b.tie).slice(0, limit)
      for (const row of rows) stored.splice(stored.indexOf(row), 1)
      if (first) {
        claimer.forgetCursors()
        stored.push(row('a1')) // handed back while the claim was under way
      }
      return rows.map(({ id, queue, priority, due, tie }) => claimedRow({ id, queue, priority, due, claim, cursor: { due, tie } }))
    }
  })
  const ended = dry()
  claimer.wake()
  await ended
  t.same(taken, ['a5', 'a1', 'a6', 'a7'])
})

t.test('queues that are not its own are not claimed', async (t) => {
  const { claimer, claims, dry } = claimerOver(t, [row('a1', { queue: 'a' }), row('b1', { queue: 'b' }), row('c1', { queue: 'c' })], [{ limit: 9, start: 9, free: 9 }], { queueName: ['a', 'b'], excludeQueues: ['b'] })
  const ended = dry()
  claimer.wake()
  t.equal(await ended, 1)
  t.same(claims.flatMap((request) => named(request).map(({ queue }) => queue)), ['a'])
})

t.test('nothing is asked while there is no room, and an empty look is not repeated without a reason', async (t) => {
  let looks = 0
  const rooms: Array<Room | null> = [null]
  const { claimer, dry } = claimerOver(t, [], rooms, {}, { lanes: async () => { looks += 1; return { lanes: [], now: 1 } } })
  claimer.wake()
  t.equal(looks, 0)
  rooms.push({ limit: 1, start: 1, free: 1 }, { limit: 1, start: 1, free: 1 }, { limit: 1, start: 1, free: 1 })
  const ended = dry()
  claimer.look()
  await ended
  await new Promise(setImmediate)
  claimer.look()
  await new Promise(setImmediate)
  t.equal(looks, 1)
  const again = dry()
  claimer.wake()
  await again
  t.equal(looks, 2)
})

t.test('an idle worker that is woken claims from whatever lanes there are, without a look before', async (t) => {
  const stored: Stored[] = []
  const { claimer, claims, taken, dry } = claimerOver(t, stored, [{ limit: 5, start: 5, free: 5 }, { limit: 5, start: 5, free: 5 }], { queueName: ['default', 'b'], excludeQueues: ['b'] })
  const idle = dry()
  claimer.wake()
  t.equal(await idle, 0)
  stored.push(row('a1'), row('b2', { queue: 'b' }))
  const ended = dry()
  claimer.wake()
  t.equal(await ended, 1)
  t.same(taken, ['a1'])
  t.same(claims.at(0)?.lanes, { only: ['default', 'b'], except: ['b'] }, 'the first claim after the wake-up')
})

t.test('while claims are full, the lanes are not looked for before each of them', async (t) => {
  let looks = 0
  const stored = Array.from({ length: 40 }, (_, index) => row(`a${index + 1}`))
  const lanes = async (): Promise<{ lanes: LaneHead[], now: number }> => {
    looks += 1
    return { lanes: stored.length > 0 ? [{ queue: 'default', priority: 0, due: 1 }] : [], now: 1_000 }
  }
  const { claimer, claims, taken, dry } = claimerOver(t, stored, Array.from({ length: 10 }, () => ({ limit: 5, start: 5, free: 5 })), {}, { lanes })
  const ended = dry()
  claimer.wake()
  await ended
  t.equal(taken.length, 40)
  t.ok(claims.length >= 8)
  t.ok(looks < claims.length, `${looks} looks for ${claims.length} claims`)
})

/** One row with limits beside the others, first in the order; it appears when `stored` says so. */
function limitedVerbs (requests: LimitedClaimRequest[], has: () => boolean, take: (request: LimitedClaimRequest) => string[]): Partial<Store> {
  const head: LimitedHead = { group: 'g', queue: 'default', priority: 50, due: 1, tie: 1, limits: { key: 'k', concurrency: 1, rate: null }, held: 0, returning: 0, least: null, full: false }
  return {
    lanes: async () => ({ lanes: [{ queue: 'default', priority: 0, due: 1 }], now: 1_000, limited: has() }),
    limitedHeads: async () => ({ heads: has() ? [head] : [], now: 1_000, nextDue: null, end: null }),
    claimLimited: async (request) => {
      requests.push(request)
      return { rows: take(request).map((id) => claimedRow({ id, claim: request.claim, limited: id.startsWith('k') })), nextIn: null }
    }
  }
}

t.test('a claim that has not looked at rows with limits asks to be given nothing while there are some', async (t) => {
  const { claimer, claims, dry } = claimerOver(t, [row('a1'), row('a2', { priority: 9 })], Array.from({ length: 3 }, () => ({ limit: 10, start: 2, free: 2 })))
  for (let wakes = 0; wakes < 3; wakes++) {
    const ended = dry()
    claimer.wake()
    await ended
  }
  t.equal(claims.length, 4, 'two from lanes, and one of whatever there is at each wake that follows')
  t.same(claims.map(({ unlessLimited }) => unlessLimited), claims.map(() => true))
})

t.test('a worker that left nothing behind is given a new row by the first call after its wake, also where it found one last time', async (t) => {
  const stored: Stored[] = []
  const { claimer, claims, taken, dry } = claimerOver(t, stored, Array.from({ length: 3 }, () => ({ limit: 10, start: 2, free: 2 })))
  for (const [index, id] of ['a1', 'a2', 'a3'].entries()) {
    const before = claims.length
    stored.push(row(id))
    const ended = dry()
    claimer.wake()
    await ended
    t.equal(taken.at(-1), id)
    t.equal('except' in (claims[before] as ClaimRequest).lanes, index > 0, 'of whatever there is, without a look, once it has looked')
  }
})

t.test('rows with limits that came after the look are claimed before what was seen at it, in one claim with them', async (t) => {
  const requests: LimitedClaimRequest[] = []
  let limited = false
  const taken: string[] = []
  const { claimer, dry } = claimerOver(t, [], [{ limit: 2, start: 2, free: 2 }, { limit: 4, start: 2, free: 2 }, { limit: 4, start: 3, free: 3 }], { onRows: (_, __, rows) => { taken.push(...rows.map(({ id }) => id)) } }, {
    ...limitedVerbs(requests, () => limited, ({ limit }) => requests.length === 1 ? ['k1', 'a3'].slice(0, limit) : []),
    claim: async ({ claim, limit, unlessLimited }) => {
      if (taken.length === 0) {
        limited = true
        return ['a1', 'a2'].slice(0, limit).map((id) => claimedRow({ id, claim }))
      }
      if (limited && unlessLimited === true) return []
      throw new Error('rows without limits were claimed past those with some')
    }
  })
  const ended = dry()
  claimer.wake()
  await ended
  t.same(taken.slice(0, 4), ['a1', 'a2', 'k1', 'a3'])
  t.same(requests[0]?.lanes?.map(({ queue, priority }) => [queue, priority]), [['default', 0]])
  t.equal(requests[0]?.limit, 2, 'as many as can start at once')
})

t.test('a row with limits is claimed for a free slot only, however many are marked ahead', async (t) => {
  const requests: LimitedClaimRequest[] = []
  const { claimer } = claimerOver(t, [row('a1')], [{ limit: 40, start: 20, free: 0 }, { limit: 40, start: 20, free: 2 }, null], {}, limitedVerbs(requests, () => true, () => ['k1', 'k2']))
  claimer.wake()
  await eventually(async () => { assert.equal(requests.length, 1) })
  t.same(requests.map(({ limit }) => limit), [2])
})

t.test('nothing is claimed ahead of a free slot while a row with limits could be claimed', async (t) => {
  const requests: LimitedClaimRequest[] = []
  const rooms: Array<Room | null> = [{ limit: 5, start: 0, free: 0 }, { limit: 5, start: 0, free: 0 }, { limit: 5, start: 0, free: 0 }, null]
  const { claimer, claims } = claimerOver(t, [row('a1')], rooms, {}, limitedVerbs(requests, () => true, () => ['k1']))
  claimer.wake()
  await eventually(async () => { assert.equal(rooms.length, 2, 'it looked once, and then saw that there is no slot') })
  claimer.look()
  t.same([claims.length, requests.length], [0, 0])
  rooms.splice(0, rooms.length, { limit: 5, start: 1, free: 1 }, null)
  claimer.look()
  await eventually(async () => { assert.equal(rooms.length, 0) })
  t.same(requests.map(({ limit }) => limit), [1])
})
