import t from 'tap'
import { check, type FinalRow, type Faults, type History } from './checker.ts'
import { parseLedger, type Entry } from './ledger.ts'

// The checker is worth what it refuses: one good history, and what breaks it.

const ENQUEUER = 10
const ONE = 21
const TWO = 22

let clock = 0
const entry = (what: string, pid: number, fields: Record<string, unknown> = {}, at = ++clock * 10): Entry => ({ what, at, pid, ...fields })

/** Two tasks: one that went well, one whose first worker was killed; and a third that was refused. */
function good (): Entry[] {
  clock = 0
  return [
    entry('asked', ENQUEUER, { key: 'a', name: 'fast', delay: null }), // 10
    entry('accepted', ENQUEUER, { key: 'a', id: 'A' }), // 20
    entry('asked', ENQUEUER, { key: 'b', name: 'slow', delay: 15 }), // 30
    entry('accepted', ENQUEUER, { key: 'b', id: 'B' }), // 40
    entry('start', ONE, { id: 'A', key: 'a', attempt: 1 }), // 50
    entry('end', ONE, { id: 'A', attempt: 1, how: 'returned' }), // 60
    entry('finished', ONE, { id: 'A', status: 'SUCCESSFUL', attempts: 1 }), // 70
    entry('start', ONE, { id: 'B', key: 'b', attempt: 1 }), // 80
    entry('beat', ONE, { id: 'B', attempt: 1 }), // 90
    entry('kill', 1, { of: ONE }), // 100
    entry('rescued', TWO, { workers: ['one'], charged: ['B'], released: 0 }), // 110
    entry('start', TWO, { id: 'B', key: 'b', attempt: 2 }), // 120
    entry('end', TWO, { id: 'B', attempt: 2, how: 'returned' }), // 130
    entry('finished', TWO, { id: 'B', status: 'SUCCESSFUL', attempts: 2 }), // 140
    entry('asked', ENQUEUER, { key: 'c', name: 'fast', delay: null }), // 150
    entry('refused-enqueue', ENQUEUER, { key: 'c', code: 'FST_TASKS_STORE_UNAVAILABLE' }) // 160
  ]
}

const WORKER_LOST = { code: 'FST_TASKS_WORKER_LOST', attempt: 1 }

function rows (): [FinalRow, FinalRow] {
  const common = { status: 'SUCCESSFUL', enqueuedAt: 100, startedAt: 200, lastAttemptedAt: 300, finishedAt: 400 }
  return [
    { ...common, id: 'A', task: 'fast', args: '["a"]', runAfter: null, attempts: 1, errors: [], returnValue: '"a"' },
    { ...common, id: 'B', task: 'slow', args: '["b",5]', runAfter: 150, attempts: 2, errors: [WORKER_LOST], returnValue: '"b"' }
  ]
}

const judge = (entries: readonly Entry[], final: readonly FinalRow[], changes: Partial<History> = {}): ReturnType<typeof check> =>
  check({ entries: [...entries].sort((a, b) => a.at - b.at), rows: final, crashBudget: 3, resumeMs: 50, termMs: 5, ...changes })

function kinds (faults: Faults): string[] {
  return Object.entries(faults).filter(([, found]: [string, string[]]) => found.length > 0).map(([name]) => name)
}

t.test('a history in which all is well has no faults, and says what happened', async (t) => {
  const { faults, happened, recoveries, sizes } = judge(good(), rows())
  t.same(kinds(faults), [])
  t.match(happened, { kill: 1, 'death charged': 1, 'lease expired': 1, 'enqueue refused': 1, 'second start': 1, 'stale write refused': 0, deferred: 1 })
  t.same(recoveries, [20])
  t.match(sizes, { asked: 3, accepted: 2, starts: 3, rows: 2 })
})

t.test('an enqueue that was refused or never answered may be stored all the same', async (t) => {
  const [a, b] = rows()
  const entries = [...good(), entry('asked', ENQUEUER, { key: 'd', name: 'fast', delay: null })]
  t.same(kinds(judge(entries, [a, b, { ...a, id: 'C', args: '["c"]', returnValue: '"c"' }]).faults), [])
  t.equal(judge(entries, [a, b, { ...a, id: 'D', args: '["d"]', returnValue: '"d"' }]).happened['enqueue unknown'], 1)
})

t.test('an attempt of a process that was stopped may be seen after another has begun, and not for long', async (t) => {
  const stopped = good().map((one) => one.what === 'kill' ? entry('pause', 1, { of: ONE }, one.at) : one)
  const resumed = [...stopped, entry('resume', 1, { of: ONE }, 126), entry('beat', ONE, { id: 'B', attempt: 1 }, 128)]
  t.same(kinds(judge(resumed, rows()).faults), [])
  t.same(kinds(judge([...resumed, entry('beat', ONE, { id: 'B', attempt: 1 }, 200)], rows()).faults), ['overlapping'])
})

t.test('a retry whose answer came late may be told after the end of the next attempt', async (t) => {
  t.same(kinds(judge([...good(), entry('retried', ONE, { id: 'B', attempts: 1 })], rows()).faults), [])
})

type Change = (entries: Entry[], rows: [FinalRow, FinalRow]) => { entries?: Entry[], rows?: FinalRow[] }

const BROKEN: ReadonlyArray<readonly [what: string, fault: keyof Faults, change: Change]> = [
  ['an accepted task is not stored', 'lost', (_, [a]) => ({ rows: [a] })],
  ['a row was never asked for', 'unexpected', (_, [a, b]) => ({ rows: [a, b, { ...a, id: 'X', args: '["x"]', returnValue: '"x"' }] })],
  ['a row stands twice', 'unexpected', (_, [a, b]) => ({ rows: [a, b, { ...a, id: 'X' }] })],
  ['a row holds the arguments of another', 'unexpected', (_, [a, b]) => ({ rows: [{ ...a, args: '["c"]', returnValue: '"c"' }, b] })],
  ['a row is of another task', 'unexpected', (_, [a, b]) => ({ rows: [{ ...a, task: 'slow' }, b] })],
  ['something ran that was never asked for', 'unexpected', (entries) => ({ entries: [...entries, entry('start', ONE, { id: 'X', key: 'x', attempt: 1 })] })],
  ['two attempts wrote an ending', 'finishedTwice', (entries) => ({ entries: [...entries, entry('finished', ONE, { id: 'B', status: 'SUCCESSFUL', attempts: 1 })] })],
  ['a task ran again after its end', 'resurrected', (entries) => ({ entries: [...entries, entry('start', TWO, { id: 'A', key: 'a', attempt: 2 })] })],
  ['a task was put back after its end', 'resurrected', (entries) => ({ entries: [...entries, entry('retried', TWO, { id: 'A', attempts: 1 })] })],
  ['an ending was taken back', 'resurrected', (_, [a, b]) => ({ rows: [{ ...a, status: 'FAILED', task: 'doomed', attempts: 1, errors: [WORKER_LOST] }, b] })],
  ['two attempts lived at one moment', 'overlapping', (entries) => ({ entries: [...entries, entry('beat', ONE, { id: 'B', attempt: 1 }, 125)] })],
  ['two attempts began at one moment', 'overlapping', (entries) => ({ entries: [...entries, entry('start', TWO, { id: 'A', key: 'a', attempt: 1 }, 55), entry('end', TWO, { id: 'A', attempt: 1, how: 'returned' }, 58)] })],
  ['a task started before it was due by the host', 'early', (entries) => ({ entries: entries.map((one) => one.what === 'asked' && one['key'] === 'b' ? { ...one, delay: 60 } : one) })],
  ['a task was claimed before it was due by the database', 'early', (_, [a, b]) => ({ rows: [a, { ...b, runAfter: 301 }] })],
  ['a task never ended', 'stuck', (_, [a, b]) => ({ rows: [a, { ...b, status: 'READY' }] })],
  ['a task is held for ever', 'stuck', (_, [a, b]) => ({ rows: [a, { ...b, status: 'RUNNING' }] })],
  ['a task failed that cannot fail', 'wrongEnding', (entries, [a, b]) => ({ entries: entries.filter(({ what }) => what !== 'finished'), rows: [a, { ...b, status: 'FAILED', attempts: 1 }] })],
  ['a task that must fail went well', 'wrongEnding', (entries, [a, b]) => ({ entries: entries.map((one) => one['key'] === 'a' && one.what === 'asked' ? { ...one, name: 'doomed' } : one), rows: [{ ...a, task: 'doomed' }, b] })],
  ['a return value is of another', 'wrongEnding', (_, [a, b]) => ({ rows: [{ ...a, returnValue: '"b"' }, b] })],
  ['an attempt was charged and left no error', 'disordered', (_, [a, b]) => ({ rows: [{ ...a, attempts: 2 }, b] })],
  ['an end lies before its start', 'disordered', (_, [a, b]) => ({ rows: [{ ...a, finishedAt: 250 }, b] })],
  ['an end has no moment', 'disordered', (_, [a, b]) => ({ rows: [{ ...a, finishedAt: null }, b] })],
  ['errors are of attempts that were not', 'disordered', (_, [a, b]) => ({ rows: [a, { ...b, errors: [{ ...WORKER_LOST, attempt: 2 }] }] })],
  ["a driver's error reached the user", 'untyped', (entries) => ({ entries: [...entries, entry('refused-enqueue', ENQUEUER, { key: 'c', code: 'SQLITE_BUSY' })] })],
  ['an attempt started after SIGTERM', 'startedAfterTerm', (entries) => ({ entries: [...entries, entry('term', 1, { of: TWO }, 101)] })]
]

for (const [what, fault, change] of BROKEN) {
  t.test(`the checker refuses a history in which ${what}`, async (t) => {
    const entries = good()
    const final = rows()
    const changed = change(entries, final)
    t.ok(kinds(judge(changed.entries ?? entries, changed.rows ?? final).faults).includes(fault), fault)
  })
}

t.test('a ledger whose last line was cut off is read up to it, and one that is damaged elsewhere is refused', async (t) => {
  t.same(parseLedger('{"what":"start","at":1,"pid":2}\n{"what":"en'), [{ what: 'start', at: 1, pid: 2 }])
  t.same(parseLedger(''), [])
  t.throws(() => parseLedger('{"what":"en\n{"what":"start","at":1,"pid":2}\n'))
})
