import t from 'tap'
import { databases } from '../support/databases.ts'
import { openSite, subscribers, until } from './support/site.ts'

for (const database of databases) {
  t.test(database.name, async (t) => {
    t.test('publishing answers at once, and every subscriber is mailed once in the background', async (t) => {
      const site = await openSite(t, database, subscribers(40))
      const { code, body } = await site.post('/pages/1/publish')
      t.equal(code, 202)
      t.strictSame(body, { id: 1, mails: 40 })
      t.match((await mailsOf(site, 1)), { total: 40, sent: 0, waiting: 40 }, 'nothing is sent before a worker runs')
      t.equal(site.mailServer.delivered, 0)

      site.startWorker()
      await until(async () => await mailsOf(site, 1), { sent: 40, waiting: 0, running: 0, failed: 0 })
      t.equal(site.mailServer.delivered, 40)
      t.equal(site.mailServer.repeated, 0)
      const { results } = await site.app.tasks.list({ tag: 'page:1', limit: 100 })
      t.equal(results.length, 40)
      t.ok(results.every(({ status, attempts, returnValue }) => status === 'SUCCESSFUL' && attempts === 1 && returnValue === 'sent'))
    })

    t.test('a publish that fails leaves neither a published page nor a task', async (t) => {
      const site = await openSite(t, database, subscribers(3))
      await site.app.knex.schema.renameTable('deliveries', 'elsewhere')
      t.equal((await site.post('/pages/1/publish')).code, 500)
      t.equal((await site.app.knex('pages').where({ id: 1 }).first()).published_at, null)
      t.strictSame((await site.app.tasks.list({})).results, [])
      await site.app.knex.schema.renameTable('elsewhere', 'deliveries')
      t.equal((await site.post('/pages/1/publish')).code, 202, 'and can be tried again')
    })

    t.test('trap, duplicate runs: of two clicks one publishes', async (t) => {
      const site = await openSite(t, database, subscribers(5))
      const answers = await Promise.all([site.post('/pages/1/publish'), site.post('/pages/1/publish')])
      t.strictSame(answers.map(({ code }) => code).sort(), [202, 409])
      t.equal((await site.app.tasks.list({ tag: 'page:1' })).results.length, 5)
    })

    t.test('trap, duplicate runs: a mail whose delivery is written is not sent again', async (t) => {
      const site = await openSite(t, database, subscribers(1))
      await site.post('/pages/1/publish')
      site.startWorker()
      await until(async () => await mailsOf(site, 1), { sent: 1 })
      const again = await site.app.tasks.enqueue('pages.mail', 1, 1)
      await again.wait()
      t.equal(again.returnValue, 'sent before')
      t.equal(site.mailServer.delivered, 1)
      t.equal(site.mailServer.repeated, 0)
    })

    t.test('trap, unheard failures: a refused address fails at once, is shown with its reason, and a retry sends it', async (t) => {
      const site = await openSite(t, database, subscribers(4, 'full.example.com'))
      await site.post('/pages/1/publish')
      site.startWorker()
      await until(async () => await mailsOf(site, 1), { sent: 3, failed: 1, waiting: 0 })
      const { failures } = await mailsOf(site, 1)
      t.match(failures, [{ status: 'FAILED', attempts: 1, error: /refused reader0@full\.example\.com: 552 5\.2\.2 The mailbox is full/ }])
      const page = (await site.app.inject('/')).body
      t.match(page, 'The mailbox is full')
      t.match(page, 'action="/pages/1/retry"')

      t.strictSame((await site.post('/pages/1/retry')).body, { retried: 1 })
      await until(async () => await mailsOf(site, 1), { sent: 4, failed: 0 })
      t.equal(site.mailServer.delivered, 4)
    })

    t.test('a mail server that is busy is asked again', async (t) => {
      const site = await openSite(t, database, subscribers(2, 'busy.example.com'))
      await site.post('/pages/1/publish')
      site.startWorker()
      await until(async () => await mailsOf(site, 1), { sent: 2, failed: 0 }, { timeout: 60_000 })
      const { results } = await site.app.tasks.list({ tag: 'page:1', status: 'SUCCESSFUL' })
      t.strictSame(results.map(({ attempts }) => attempts).sort(), [1, 2])
    })

    t.test('the rest of a mailing can be cancelled, and put back', async (t) => {
      const site = await openSite(t, database, subscribers(6))
      await site.post('/pages/1/publish')
      t.strictSame((await site.post('/pages/1/cancel')).body, { cancelled: 6 })
      t.match(await mailsOf(site, 1), { sent: 0, waiting: 0, cancelled: 6 })
      t.strictSame((await site.post('/pages/1/retry')).body, { retried: 6 })
      site.startWorker()
      await until(async () => await mailsOf(site, 1), { sent: 6, cancelled: 0 })
    })

    t.test('a page that is not there cannot be published', async (t) => {
      const site = await openSite(t, database, subscribers(1))
      t.equal((await site.post('/pages/99/publish')).code, 404)
      t.equal((await site.post('/pages/nonsense/publish')).code, 400)
      t.strictSame((await site.app.tasks.list({})).results, [])
    })
  })
}

async function mailsOf (site: { work: () => Promise<any> }, id: number): Promise<any> {
  return (await site.work()).pages.find((page: { id: number }) => page.id === id).mails
}
