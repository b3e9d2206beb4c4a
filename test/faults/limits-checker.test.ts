import t from 'tap'
import { checkLimits } from './limits-checker.ts'
import type { Entry } from './ledger.ts'

const rules = { rates: new Map([['r', { max: 2, every: 100 }]]), resumeMs: 500 }
const boot = (pid: number, ppid: number): Entry => ({ what: 'boot', at: 0, pid, ppid })
const start = (at: number, id: string, fields: Record<string, unknown> = {}, pid = 1): Entry => ({ what: 'start', at, pid, id, attempt: 1, key: 'k', limit: 1, place: null, claimed: at, ...fields })
const end = (at: number, id: string, pid = 1): Entry => ({ what: 'end', at, pid, id, attempt: 1 })
const up = (at: number, of: number): Entry => ({ what: 'up', at, pid: 99, of })
const down = (at: number, of: number): Entry => ({ what: 'down', at, pid: 99, of })
const kill = (at: number, of: number): Entry => ({ what: 'kill', at, pid: 99, of })

t.test('attempts one after the other, in their places, are well', async (t) => {
  t.same(checkLimits([start(1, 'a', { place: 0 }), end(2, 'a'), start(2, 'b', { place: 1 }), end(5, 'b'), start(6, 'c', { key: 'other' })], rules), [])
})

t.test('one too many alive is found, where the smallest limit among them counts', async (t) => {
  t.match(checkLimits([start(1, 'a'), start(2, 'b'), end(3, 'a'), end(4, 'b')], rules), [/2 alive under k, where 1 may be/])
  t.same(checkLimits([start(1, 'a', { limit: 2 }), start(2, 'b', { limit: 2 })], rules), [])
  t.match(checkLimits([start(1, 'a', { limit: 1 }), start(2, 'b', { limit: 3 })], rules), [/2 alive under k, where 1 may be/])
})

t.test('an attempt lives until its process is killed, or the one that started it', async (t) => {
  t.same(checkLimits([boot(1, 7), start(1, 'a'), kill(5, 7), start(6, 'b', {}, 2)], rules), [])
  t.match(checkLimits([boot(1, 7), start(1, 'a'), kill(5, 7), start(4, 'b', {}, 2)], rules), [/2 alive/])
})

t.test('a place that comes too early is found, and one that is tried again is not', async (t) => {
  t.match(checkLimits([start(1, 'b', { place: 1 }), end(2, 'b'), start(3, 'a', { place: 0 }), end(4, 'a')], rules), [/place 0 after 1/])
  t.same(checkLimits([start(1, 'a', { place: 0 }), end(2, 'a'), start(3, 'a', { place: 0, attempt: 2 })], rules), [])
})

t.test('a key that nobody takes over is found', async (t) => {
  const story = [start(1, 'a'), kill(5, 1), start(600, 'b', {}, 2)]
  t.match(checkLimits([up(0, 2), ...story], rules), [/nothing for 595 ms/])
  t.same(checkLimits([up(101, 2), ...story], rules), [], 'there was no worker')
  t.same(checkLimits([up(0, 2), down(500, 2), up(400, 3), ...story], rules), [], 'none was there for long enough')
})

t.test('a rate that is passed is found, wherever the time begins', async (t) => {
  const rated = (at: number): Entry => start(at, String(at), { key: undefined, rate: 'r' })
  t.same(checkLimits([rated(90), rated(95), rated(190), rated(195)], rules), [])
  t.match(checkLimits([rated(90), rated(95), rated(189)], rules), [/r: 3 within 99 ms/])
})
