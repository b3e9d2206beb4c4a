import t from 'tap'
import { fileURLToPath } from 'node:url'
import { databases } from '../support/databases.ts'
import { startProcess } from '../support/processes.ts'
import { openHostClock } from './host-clock.ts'

// On SQLite the host's date is the database's clock. It may be wrong, and it may be set while workers run.

const HOUR = 3_600_000
const clock = await openHostClock()
const sqlite = databases.find(({ name }) => name === 'sqlite')

if (clock === null) t.comment('NOT RUN: this host has no C compiler to make a clock with that can be set; the promises about SQLite and the date are not tested here')
else if (sqlite !== undefined) {
  t.test('a host whose date is set forth and back by an hour loses no lease, and what is ready stays so', async (t) => {
    const database = await sqlite.open()
    t.teardown(async () => {
      await database.close()
      await clock.close()
    })
    const child = startProcess({ after: (end) => { t.teardown(end) } }, fileURLToPath(new URL('processes/set-back.js', import.meta.url)), {
      args: [database.url],
      env: await clock.env('this')
    })
    await child.line('ready')
    let asked = 0
    const ask = async (verb: string): Promise<unknown> => {
      const number = ++asked
      child.write(`${number} ${verb}\n`)
      return JSON.parse((await child.line(new RegExp(`^${number} `))).slice(`${number} `.length))
    }
    await clock.set('this', HOUR)
    t.ok(Number(await ask('date')) > Date.now() + HOUR / 2, 'the date of the process is wrong')
    t.equal(await ask('rescue'), 0, 'a lease of ten minutes holds')
    t.equal(await ask('renew'), true)
    t.equal(await ask('workers'), 1)
    t.ok(Number(await ask('insert')) > Date.now() + HOUR / 2, "and so is SQLite's")
    await clock.set('this', -HOUR)
    t.equal(await ask('rescue'), 0)
    t.equal(await ask('renew'), true)
    t.equal(await ask('claim'), 1, 'what nobody deferred is due, whatever the date says')
  })
}
