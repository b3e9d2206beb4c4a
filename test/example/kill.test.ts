import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { TaskResult } from 'fastify-tasks'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { startProcess, type TestProcess } from '../support/processes.ts'
import { buildApp } from '../../example-app/app.js'
import { MailServer } from '../../example-app/demo/mail-server.js'
import { subscribers, writeSubscribers } from './support/site.ts'

const worker = fileURLToPath(new URL('../../example-app/worker.js', import.meta.url))
const MAILS = 200

for (const database of databases) {
  t.test(`a worker killed in the middle of the mail run and started again: every mail task ends, once (${database.name})`, { timeout: 240_000 }, async (t) => {
    const { url, close } = await database.open()
    const mailServer = new MailServer({ delay: 5 }) // milliseconds a mail, so that there is a middle
    const smtpUrl = await mailServer.listen()
    const subscribersFile = await writeSubscribers(t, subscribers(MAILS))
    const app = buildApp({ databaseUrl: url, smtpUrl, subscribersFile, logLevel: 'silent' })
    t.after(async () => {
      await app.close()
      await mailServer.close()
      await close()
    })
    await app.ready()
    const env = { TASKS_DATABASE_URL: url, SITE_SMTP_URL: smtpUrl, TASKS_WORKER_LEASE: '5s', TASKS_WORKER_SWEEP: '500ms' }

    const first = startProcess(t, worker, { env })
    const answer = await app.inject({ method: 'POST', url: '/pages/1/publish' })
    t.strictSame(answer.json(), { id: 1, mails: MAILS })
    await eventually(() => { assert.ok(mailServer.delivered >= MAILS / 4) }, { interval: 5 })
    process.kill(-first.pid, 'SIGKILL') // the supervisor and the process that works, at one stroke
    await first.exit()
    t.ok(mailServer.delivered < MAILS, `it was killed after ${mailServer.delivered} mails`)
    const left = await app.tasks.list({ tag: 'page:1', status: 'RUNNING', limit: MAILS })
    t.ok(left.results.length > 0, `it held ${left.results.length} tasks`)

    const second = startProcess(t, worker, { env })
    await eventually(async () => {
      assert.deepStrictEqual(await countByStatus(app), { SUCCESSFUL: MAILS })
    }, { timeout: 120_000, interval: 250 })

    const [{ sent }] = await app.knex('deliveries').where({ page_id: 1 }).count({ sent: 'sent_at' }) as [{ sent: number | string }]
    t.equal(Number(sent), MAILS, 'each has its delivery')
    t.equal(mailServer.delivered, MAILS)
    const { results } = await app.tasks.list({ tag: 'page:1', limit: MAILS })
    t.equal(new Set(results.map(({ args }) => args[1])).size, MAILS, 'none is lost')
    const charged = results.filter(({ errors }) => errors.some(({ code }) => code === 'FST_TASKS_WORKER_LOST'))
    t.ok(charged.length > 0 && charged.length <= 10, `${charged.length} were under way when it died, and say so; the others were not charged`)
    t.strictSame(sentTwiceWithoutCause(results, mailServer, [first, second]), [], `${mailServer.repeated} were mailed twice: only those whose first attempt was cut off`)
    t.strictSame(endedTwice([first, second]), [], 'no result has two endings')

    second.signal('SIGTERM')
    t.match(await second.exit(), { code: 0 })
  })
}

async function countByStatus (app: ReturnType<typeof buildApp>): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  const { results } = await app.tasks.list({ tag: 'page:1', limit: MAILS })
  for (const { status } of results) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/**
 * Ids of results whose mail went out twice though nothing cut their first attempt off. A worker that lost its lease, as
 * one may on a machine that is busy with other things, cuts off all that it runs and charges nobody.
 */
function sentTwiceWithoutCause (results: readonly TaskResult[], mailServer: MailServer, workers: readonly TestProcess[]): string[] {
  if (workers.some(({ lines }) => lines.some((line) => line.includes('lease is lost')))) return []
  const mails = [...mailServer.taken].filter(([, times]) => times > 1).map(([mail]) => mail)
  const subscribers = new Set(mails.map((mail) => Number(/subscriber-(\d+)/.exec(mail)?.[1])))
  return results.filter(({ args, errors }) => subscribers.has(args[1]) && errors.length === 0).map(({ id }) => id)
}

/** Ids of results whose end was logged more than once, over all processes. */
function endedTwice (processes: readonly TestProcess[]): string[] {
  const seen = new Set<string>()
  const twice: string[] = []
  for (const line of processes.flatMap(({ stdout }) => stdout)) {
    const id = /"msg":"task (?:successful|failed|cancelled)"/.test(line) ? /"taskId":"([\w-]+)"/.exec(line)?.[1] : undefined
    if (id === undefined) continue
    if (seen.has(id)) twice.push(id)
    seen.add(id)
  }
  return twice
}
