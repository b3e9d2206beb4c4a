import t from 'tap'
import { STORE_UNAVAILABLE } from '#lib/core/errors.js'
import { Ledger } from '#lib/worker/ledger.js'
import { Outage } from '#lib/worker/outage.js'
import { Reporter } from '#lib/worker/reporter.js'
import type { FinishedRow, Store } from '#lib/store/store.js'
import { within } from '../support/eventually.ts'
import { accepted, claimedRow, fakeLog, fakeStore, success } from './fake-store.ts'
import { gate } from './setting.ts'

function reporterOn (store: Partial<Store>): { reporter: Reporter, ledger: Ledger, lines: ReturnType<typeof fakeLog>['lines'], idle: Promise<void> } {
  const { log, lines } = fakeLog()
  const ledger = new Ledger()
  const idle = gate()
  const reporter = new Reporter({ store: fakeStore(store), worker: 'w', ledger, log, outage: new Outage(log), onIdle: () => { idle.open() } })
  return { reporter, ledger, lines, idle: idle.opened }
}

t.test('what ends while a write is under way is written together in the next', async (t) => {
  const first = gate()
  const batches: string[][] = []
  const { reporter, ledger, idle } = reporterOn({
    finish: async (_, endings, ended) => {
      batches.push([...endings.map(({ id }) => id), ...ended.map((claim) => `end of ${claim}`)])
      if (batches.length === 1) await first.opened
      return accepted(endings)
    }
  })
  const claim = ledger.arrived(ledger.ask(), 4, 4)
  const written: string[] = []
  const report = (id: string): void => {
    const row = claimedRow({ id })
    reporter.report({ row, claim, ending: success(row), written: () => { written.push(id) } })
  }
  report('a')
  report('b')
  await new Promise(setImmediate)
  report('c')
  report('d')
  first.open()
  await idle
  t.same(batches, [['a', 'b'], ['c', 'd', 'end of 1']])
  t.same(written, ['a', 'b', 'c', 'd'])
  t.same(ledger.strangers([1]), [1], 'the claim is forgotten')
})

t.test('a claim is not forgotten before its last write is confirmed', async (t) => {
  const answer = gate()
  const { reporter, ledger, idle } = reporterOn({ finish: async (_, endings) => { await answer.opened; return accepted(endings) } })
  const claim = ledger.arrived(ledger.ask(), 1, 1)
  const row = claimedRow()
  reporter.report({ row, claim, ending: success(row) })
  await new Promise(setImmediate)
  t.same(ledger.strangers([1]), [], 'a renewal must not take it for a lost one')
  answer.open()
  await idle
  t.same(ledger.strangers([1]), [1])
})

t.test('a refused write is logged once, counted, and told to nobody', async (t) => {
  const { reporter, ledger, lines, idle } = reporterOn({ finish: async () => [] })
  const claim = ledger.arrived(ledger.ask(), 1, 1)
  const row = claimedRow()
  reporter.report({ row, claim, ending: success(row), written: () => { t.fail('it was refused') } })
  await idle
  t.equal(reporter.refused, 1)
  t.match(lines, [{ level: 'warn', fields: { err: { code: 'FST_TASKS_CLAIM_LOST' }, id: 'id' } }])
  t.equal(lines.length, 1)
})

t.test('rows are handed back and ended in one round, and what ends the claim goes last', async (t) => {
  const calls: string[] = []
  const { reporter, ledger, idle } = reporterOn({
    release: async (_, rows, ended) => { calls.push(`release ${rows.length} ${ended.length}`); return rows.map(({ id }) => id) },
    finish: async (_, endings, ended) => { calls.push(`finish ${endings.length} ${ended.length}`); return accepted(endings) }
  })
  const claim = ledger.arrived(ledger.ask(), 3, 3)
  const row = claimedRow({ id: 'a' })
  reporter.report({ row, claim, ending: success(row) })
  reporter.report({ row: claimedRow({ id: 'b' }), claim, ending: null })
  reporter.settle(claim)
  await idle
  t.same(calls, ['release 1 0', 'finish 1 1'])
})

t.test('nothing is to be claimed while rows are handed back: until they are, were refused, or could not be at the first try', async (t) => {
  for (const answer of ['accepted', 'refused', 'failed'] as const) {
    const [asked, opened, over] = [gate(), gate(), gate()]
    const { reporter, ledger, idle } = reporterOn({
      release: async (_, rows) => {
        asked.open()
        await opened.opened
        if (answer === 'failed') {
          setImmediate(over.open)
          throw new STORE_UNAVAILABLE('be reached', 'this test says so')
        }
        return answer === 'accepted' ? rows.map(({ id }) => id) : []
      }
    })
    const claim = ledger.arrived(ledger.ask(), 1, 1)
    t.equal(reporter.behind, false)
    reporter.report({ row: claimedRow(), claim, ending: null, written: () => { t.equal(reporter.behind, false, 'whoever is told may claim') } })
    t.equal(reporter.behind, true)
    await asked.opened
    t.equal(reporter.behind, true)
    opened.open()
    await (answer === 'failed' ? over.opened : idle)
    t.equal(reporter.behind, false, answer)
    await reporter.drain(1)
  }
})

t.test('what is reported while a write ends is written, at whatever moment of it', async (t) => {
  for (let moments = 0; moments < 12; moments++) {
    const late = gate()
    const { reporter, ledger } = reporterOn({ finish: async (_, endings) => accepted(endings) })
    const claim = ledger.arrived(ledger.ask(), 2, 2)
    const [first, second] = [claimedRow({ id: 'first' }), claimedRow({ id: 'second' })]
    const after = (left: number): void => {
      if (left > 0) queueMicrotask(() => { after(left - 1) })
      else reporter.report({ row: second, claim, ending: success(second), written: late.open })
    }
    reporter.report({ row: first, claim, ending: success(first), written: () => { after(moments) } })
    await within(10_000, `the write of what was reported ${moments} moments later`, late.opened)
  }
  t.pass()
})

t.test('each is told what became of its own row, in whatever order the store answers, and of which', async (t) => {
  const answers: Record<string, (finished: FinishedRow[]) => FinishedRow[]> = {
    'in their order': (finished) => finished,
    'the other way round': (finished) => finished.toReversed(),
    'without the first': (finished) => finished.slice(1),
    'one of them cancelled': (finished) => finished.map((row) => row.id === 'b' ? { ...row, status: 'CANCELLED' as const } : row)
  }
  for (const [how, answer] of Object.entries(answers)) {
    const { reporter, ledger, idle } = reporterOn({ finish: async (_, endings) => answer(accepted(endings)) })
    const claim = ledger.arrived(ledger.ask(), 3, 3)
    const told: string[] = []
    for (const id of ['a', 'b', 'c']) {
      const row = claimedRow({ id })
      reporter.report({ row, claim, ending: success(row), written: (finished) => { told.push(`${id} is ${finished?.id} ${finished?.status}`) } })
    }
    await idle
    const wanted = ['a', 'b', 'c'].map((id) => `${id} is ${id} ${how === 'one of them cancelled' && id === 'b' ? 'CANCELLED' : 'SUCCESSFUL'}`)
    t.same(told, how === 'without the first' ? wanted.slice(1) : wanted, how)
    t.equal(reporter.refused, how === 'without the first' ? 1 : 0, how)
  }
})

t.test('an ending that the database refuses alone becomes a failure, and does not hold up the others', async (t) => {
  const { reporter, ledger, lines, idle } = reporterOn({
    ping: async () => {},
    finish: async (_, endings) => {
      if (endings.some((ending) => ending.id === 'bad' && ending.status === 'SUCCESSFUL')) throw Object.assign(new STORE_UNAVAILABLE('finish tasks', '22021'), { fault: 'permanent' })
      return accepted(endings)
    }
  })
  const claim = ledger.arrived(ledger.ask(), 3, 3)
  const written: Record<string, string> = {}
  for (const id of ['a', 'bad', 'b']) {
    const row = claimedRow({ id })
    reporter.report({ row, claim, ending: success(row), written: (finished) => { written[id] = finished?.status ?? '' } })
  }
  await idle
  t.same(written, { a: 'SUCCESSFUL', bad: 'FAILED', b: 'SUCCESSFUL' })
  t.ok(lines.some(({ text }) => text === 'the database refuses the ending of this task'))
})

t.test('an ending that meets a full disk or a lock is written when there is room, however often it was refused while reads went on', async (t) => {
  let refusals = 5
  const { reporter, ledger, idle } = reporterOn({
    ping: async () => {},
    finish: async (_, endings) => {
      if (refusals-- > 0) throw Object.assign(new STORE_UNAVAILABLE('finish tasks', 'SQLITE_FULL'), { fault: 'unavailable' })
      return accepted(endings)
    }
  })
  const row = claimedRow()
  let status = ''
  reporter.report({ row, claim: ledger.arrived(ledger.ask(), 1, 1), ending: success(row), written: (finished) => { status = finished?.status ?? '' } })
  await idle
  t.equal(status, 'SUCCESSFUL')
})

t.test('drain gives up in time where the database stays away, and says which tasks', async (t) => {
  const { reporter, ledger, lines } = reporterOn({ ping: async () => { throw new Error('away') }, finish: async () => { throw new STORE_UNAVAILABLE('finish tasks', 'away') } })
  const claim = ledger.arrived(ledger.ask(), 1, 1)
  const row = claimedRow()
  reporter.report({ row, claim, ending: success(row) })
  t.equal(await reporter.drain(100), false)
  t.match(lines.at(-1), { level: 'error', fields: { ids: ['id'] } })
  t.equal(await reporter.drain(100), true, 'nothing is left')
})
