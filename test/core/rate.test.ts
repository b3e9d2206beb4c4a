import t from 'tap'
import fc from 'fast-check'
import { freeOf, parseRateLog, withLaterStarts, withStarts, type RateLog } from '#lib/core/rate.js'

const RULE = { max: 10, every: 1_000 }
const EMPTY = parseRateLog(null)

t.test('in no time of its length a rate lets more start than it allows, whenever one asks', (t) => {
  const asks = fc.array(fc.record({ pause: fc.integer({ min: 0, max: 700 }), wanted: fc.integer({ min: 1, max: 12 }) }), { maxLength: 60 })
  fc.assert(fc.property(asks, (asks) => {
    let [log, now]: [RateLog, number] = [EMPTY, 1_764_000_000_000]
    const starts: number[] = []
    for (const { pause, wanted } of asks) {
      now += pause
      const count = Math.min(wanted, freeOf(log, now, RULE).free)
      if (count === 0) continue
      log = withStarts(log, now, count, RULE.every)
      for (let index = 0; index < count; index++) starts.push(now)
    }
    return starts.every((at, index) => index < RULE.max || at - (starts[index - RULE.max] as number) >= RULE.every)
  }))
  t.end()
})

t.test('it says when the next may start, and then one may', (t) => {
  const log = withStarts(withStarts(EMPTY, 0, 4, RULE.every), 300, 6, RULE.every)
  const { free, nextIn } = freeOf(log, 400, RULE)
  t.equal(free, 0)
  t.equal(freeOf(log, 400 + nextIn - 1, RULE).free, 0)
  t.equal(freeOf(log, 400 + nextIn, RULE).free, 4)
  t.end()
})

t.test('a start that is counted ahead of now holds the rate until one time after it', (t) => {
  const claimed = withStarts(EMPTY, 0, 10, RULE.every)
  const log = withLaterStarts(claimed, 1_900, 10, RULE.every, { from: 0, to: 3_900 })
  for (const now of [1_901, 3_000, 3_900, 4_899]) t.equal(freeOf(log, now, RULE).free, 0, `${now}`)
  t.equal(freeOf(log, 5_000, RULE).free, 10)
  t.end()
})

t.test('what others have started meanwhile counts on where a start is moved ahead', (t) => {
  const claimed = withStarts(EMPTY, 0, 1, RULE.every)
  const others = withStarts(claimed, 2_950, 10, RULE.every)
  const log = withLaterStarts(others, 3_000, 1, RULE.every, { from: 0, to: 5_000 })
  t.equal(freeOf(log, 3_005, RULE).free, 0)
  t.equal(freeOf(log, 4_100, RULE).free, 9)
  t.end()
})

t.test('what a clock that was set back has left far ahead of now holds nothing back, and is forgotten', (t) => {
  const log = withStarts(EMPTY, 3_600_000, 10, RULE.every)
  t.equal(freeOf(log, 0, RULE).free, 10)
  t.same(withStarts(log, 0, 1, RULE.every).starts, [[0, 1]])
  t.end()
})

t.test('a log holds no more moments than a few hundred, however many start', (t) => {
  let log = EMPTY
  for (let now = 0; now < 5_000; now++) log = withStarts(log, now, 1, RULE.every)
  t.ok(log.starts.length <= 202, `${log.starts.length}`)
  t.end()
})
