import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { openStore } from '#lib/store/index.js'
import { newRow } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

interface Answer { readonly id?: string, readonly isDuplicate?: boolean, readonly status?: string, readonly code?: string }

const PROCESSES = 2
const TIMES = 25 // in each, at the same moment

for (const { name, open } of databases) {
  t.test(`${name}: one key is held by one result, whichever processes enqueue at once`, async (t) => {
    const database = await open()
    const store = openStore({ url: database.url })
    await store.open()
    const script = fileURLToPath(new URL('enqueuer.js', import.meta.url))
    const processes = Array.from({ length: PROCESSES }, () => fork(script, [database.url], { execArgv: [] }))
    t.teardown(async () => {
      await Promise.all(processes.map(async (child) => {
        const gone = once(child, 'exit')
        child.send({ command: 'close' })
        await gone
      }))
      await store.close()
      await database.close()
    })
    await Promise.all(processes.map(async (child) => await once(child, 'message')))
    const all = async (request: object): Promise<Answer[]> => (await Promise.all(processes.map(async (child) => await ask(child, request)))).flat()
    const ready = async (): Promise<string[]> => (await store.list({ backend: 'default', status: 'READY', limit: 1_000 })).rows.map(({ id }) => id)

    for (const [uniqueFor, onConflict] of [['unfinished', 'return'], ['ready', 'replace'], ['10m', 'throw']] as const) {
      const before = (await ready()).length
      const answers = await all({ command: 'enqueue', times: TIMES, options: { uniqueKey: onConflict, uniqueFor, onConflict } })
      t.equal((await ready()).length, before + 1, onConflict)
      t.equal(answers.filter(({ isDuplicate }) => isDuplicate === false).length, 1, `${onConflict}: one is new`)
      const others = answers.filter(({ isDuplicate }) => isDuplicate !== false)
      if (onConflict === 'throw') t.same([...new Set(others.map(({ code }) => code))], ['FST_TASKS_NOT_UNIQUE'])
      else t.same([...new Set(answers.map(({ id }) => id))].length, 1, `${onConflict}: all are given that one`)
    }

    const keys = Array.from({ length: 12 }, (_, index) => `batch ${index}`)
    const before = (await ready()).length
    const strangers = Array.from({ length: 6 }, async (_, round) => {
      const order = round % 2 === 0 ? keys : [...keys].reverse()
      return await store.insert(order.map((key) => newRow({ task: 'once', unique: { key, scope: 'unfinished', onConflict: round % 3 === 0 ? 'replace' : 'return' } })))
    })
    const inserted = Promise.all(strangers)
    await all({ command: 'flush', keys, times: 3 })
    t.equal((await inserted).length, 6, 'batches in opposing orders do not wait for each other for ever')
    t.equal((await ready()).length, before + keys.length)
  })
}

async function ask (child: ChildProcess, request: object): Promise<Answer[]> {
  const answer = once(child, 'message')
  child.send(request)
  return (await answer)[0] as Answer[]
}
