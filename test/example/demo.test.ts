import { fileURLToPath } from 'node:url'
import t from 'tap'
import { databases } from '../support/databases.ts'
import { startProcess } from '../support/processes.ts'

const demo = fileURLToPath(new URL('../../example-app/demo.js', import.meta.url))

for (const database of databases) {
  t.test(`the demo delivers a thousand mails and ends in order (${database.name})`, { timeout: 90_000 }, async (t) => {
    const { url, close } = await database.open()
    t.after(close)
    const process = startProcess(t, demo, { args: ['--no-keep', '--timeout', '75'], env: { TASKS_DATABASE_URL: url } })
    const { code } = await process.exit({ timeout: 85_000 })
    t.equal(code, 0, process.lines.join('\n'))
    const said = process.stdout.join('\n')
    t.match(said, /with 1000 mails enqueued/)
    t.match(said, /552 5\.2\.2 The mailbox is full/)
    t.match(said, /Retry: 3 mails put back/)
    t.match(said, /counted 1000 of 1000 mails, 0 of them more than once/)
    t.match(said, /score of Bluebird Books went from 0 to 2/)
    t.match(said, /10 copies wanted/)
  })
}

t.test('a demo that is told to stop stops its processes', async (t) => {
  const process = startProcess(t, demo, { args: ['--no-keep'] })
  await process.line('Publish:')
  process.signal('SIGTERM')
  t.equal((await process.exit({ timeout: 30_000 })).code, 0)
})

t.test('a wrong option gets the usage', async (t) => {
  const process = startProcess(t, demo, { args: ['--workers', 'many'] })
  await process.exit()
  t.match(process.lines.join('\n'), /Usage: npm run demo/)
})
