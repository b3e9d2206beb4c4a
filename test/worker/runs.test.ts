import t from 'tap'
import { Buffer, type Entry } from '#lib/worker/buffer.js'
import { Runs } from '#lib/worker/runs.js'
import type { Run } from '#lib/worker/runner.js'
import { collectGarbage } from '../support/garbage.ts'

const entry = (place: number): Entry => ({ place }) as Entry
const run = (): Run => ({ slot: -1 }) as Run

t.test('what has left the buffer is let go of, although the buffer is never empty', async (t) => {
  const buffer = new Buffer()
  const left: Array<WeakRef<Entry>> = []
  const pass = (): void => {
    for (let place = 0; place < 500; place++) {
      buffer.push(entry(place))
      if (place >= 10) left.push(new WeakRef(buffer.shift() as Entry))
    }
  }
  pass()
  await new Promise(setImmediate) // a WeakRef holds on until the end of the turn that made it
  collectGarbage()
  t.equal(left.filter((ref) => ref.deref() !== undefined).length, 0)
  t.equal(buffer.length, 10)
  t.equal(buffer.first()?.place, 490)
  t.same(buffer.take(({ place }) => place % 2 === 0).map(({ place }) => place), [490, 492, 494, 496, 498])
  t.same(Array.from({ length: 6 }, () => buffer.shift()?.place), [491, 493, 495, 497, 499, undefined])
})

t.test('runs are found and taken out wherever they are, also while all are gone through', async (t) => {
  const runs = new Runs()
  const all = Array.from({ length: 5 }, run)
  for (const each of all) runs.add(each)
  runs.delete(all[1] as Run)
  runs.delete(all[1] as Run)
  t.equal(runs.size, 4)
  t.same(new Set(runs), new Set(all.filter((each) => each !== all[1])))
  for (const each of runs) runs.delete(each)
  t.equal(runs.size, 0)
})
