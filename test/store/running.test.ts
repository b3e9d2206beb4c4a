import t from 'tap'
import { Running } from '#lib/store/running.js'
import type { Done, Sqlite3Statement } from '#lib/store/prepared.js'

const BUSY = Object.assign(new Error('SQLITE_BUSY'), { code: 'SQLITE_BUSY' })
const OTHER = Object.assign(new Error('SQLITE_CONSTRAINT'), { code: 'SQLITE_CONSTRAINT' })

t.test('an answer is told as it comes', async (t) => {
  const { send, told } = setting()
  const [first, second] = [send('first'), send('second')]
  second.answer(null)
  first.answer(OTHER)
  t.same(told, ['second ok', 'first SQLITE_CONSTRAINT'])
})

t.test('one that met SQLITE_BUSY is reset before anybody is told, and what is sent meanwhile waits for that', async (t) => {
  const { send, told, log, reset } = setting()
  send('first').answer(BUSY)
  t.same(told, [])
  send('second')
  t.same(log, ['run first', 'reset first'])
  reset()
  t.same(told, ['first SQLITE_BUSY'])
  t.same(log, ['run first', 'reset first', 'run second'])
})

t.test('a success beside one that met SQLITE_BUSY is rolled back by its reset, and is told as no answer', async (t) => {
  const { send, told, log, reset } = setting()
  const [first, second] = [send('first'), send('second')]
  first.answer(BUSY)
  t.same(log, ['run first', 'run second'], 'not while another one runs: it would be rolled back in the middle')
  second.answer(null)
  reset()
  t.same(told, ['first SQLITE_BUSY', 'second NO_ANSWER'])
})

t.test('a success is not told while another is on its way for so long that it may have met SQLITE_BUSY before it', async (t) => {
  const { send, told, reset } = setting({ busyTimeoutMs: 0 })
  const [first, second] = [send('first'), send('second')]
  second.answer(null)
  t.same(told, [])
  first.answer(BUSY)
  reset()
  t.same(new Set(told), new Set(['first SQLITE_BUSY', 'second NO_ANSWER']))
})

t.test('it is told with the answer of that one, where that is another', async (t) => {
  const { send, told } = setting({ busyTimeoutMs: 0 })
  const [first, second] = [send('first'), send('second')]
  second.answer(null)
  first.answer(OTHER)
  t.same(told.sort(), ['first SQLITE_CONSTRAINT', 'second ok'])
})

interface Sent { answer (error: Error | null): void }

/** Statements that are answered, and reset, when the test says so. */
function setting ({ busyTimeoutMs = 600_000 } = {}): { send: (name: string) => Sent, told: string[], log: string[], reset: () => void } {
  const running = new Running(busyTimeoutMs)
  const [told, log, resets]: [string[], string[], Array<() => void>] = [[], [], []]
  const send = (name: string): Sent => {
    let answer: Done | undefined
    const statement: Sqlite3Statement = {
      all (_bindings, done) {
        log.push(`run ${name}`)
        answer = done
      },
      reset (done) {
        log.push(`reset ${name}`)
        resets.push(done)
      },
      bind () {},
      finalize () {}
    }
    running.send(statement, [], (error) => { told.push(`${name} ${error === null ? 'ok' : (error as Error & { code: string }).code}`) })
    return { answer: (error) => { answer?.(error, []) } }
  }
  return { send, told, log, reset: () => { for (const done of resets.splice(0)) done() } }
}
