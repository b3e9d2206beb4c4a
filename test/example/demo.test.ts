import { fileURLToPath } from 'node:url'
import t from 'tap'
import { databases } from '../support/databases.ts'
import { startProcess } from '../support/processes.ts'
import { subscribers, writeSubscribers } from './support/site.ts'

// The thousand of the README on one database, fewer on the other: what differs between them is not the number. Some
// mailboxes are trouble, as in the example's own file.
const MAILS = { sqlite: 1_000, postgres: 100 }
const TROUBLE = ['full', 'full', 'full', 'busy', 'busy'].map((kind) => `${kind}.example.com`)

const demo = fileURLToPath(new URL('../../example-app/demo.js', import.meta.url))

for (const database of databases) {
  const mails = MAILS[database.name]
  t.test(`the demo delivers ${mails} mails and ends in order (${database.name})`, { timeout: 240_000 }, async (t) => {
    const { url, close } = await database.open()
    t.after(close)
    const fewer = mails === 1_000 ? {} : { SITE_SUBSCRIBERS_FILE: await writeSubscribers(t, subscribers(mails, ...TROUBLE)) }
    const child = startProcess(t, demo, { args: ['--no-keep', '--timeout', '200'], env: { TASKS_DATABASE_URL: url, ...fewer } })
    const { code } = await child.exit({ timeout: 220_000 })
    t.equal(code, 0, child.lines.join('\n'))
    const said = child.stdout.join('\n')
    t.match(said, new RegExp(`with ${mails} mails enqueued`))
    t.match(said, /552 5\.2\.2 The mailbox is full/)
    t.match(said, /Retry: 3 mails put back/)
    t.match(said, new RegExp(`counted ${mails} of ${mails} mails, 0 of them more than once`))
    t.match(said, /score of Bluebird Books went from 0 to 2/)
    t.match(said, /10 copies wanted/)
  })
}

t.test('the demo starts a killed worker again, and every mail is delivered', { timeout: 240_000 }, async (t) => {
  const SITE_SUBSCRIBERS_FILE = await writeSubscribers(t, subscribers(400))
  const child = startProcess(t, demo, { args: ['--no-keep', '--timeout', '200'], env: { SITE_SUBSCRIBERS_FILE } })
  const pid = Number(/process (\d+)/.exec(await child.line(/worker 1 +process/))?.[1])
  await child.line(/sent [1-9]/)
  process.kill(pid, 'SIGKILL')
  await child.line('worker 1 was ended by SIGKILL; started again')
  t.equal((await child.exit({ timeout: 220_000 })).code, 0, child.lines.join('\n'))
  t.match(child.stdout.join('\n'), /counted 400 of 400 mails/)
})

t.test('a demo that is told to stop stops its processes', async (t) => {
  const child = startProcess(t, demo, { args: ['--no-keep'] })
  await child.line('Publish:')
  child.signal('SIGTERM')
  t.equal((await child.exit()).code, 0)
})

t.test('a wrong option gets the usage', async (t) => {
  const child = startProcess(t, demo, { args: ['--workers', 'many'] })
  await child.exit()
  t.match(child.lines.join('\n'), /Usage: npm run demo/)
})
