import t from 'tap'
import { task } from 'fastify-tasks'
import { main } from '#lib/cli/main.js'
import { databases } from '../support/databases.ts'
import { setting } from './setting.ts'

for (const database of databases) {
  t.test(`on ${database.name}`, async (t) => {
    t.test('a queue that is paused by the app or the command line waits, and its resume wakes a worker that hardly polls', async (t) => {
      const mail = task('mail', { queueName: 'mail' }, async () => {})
      const { app, url, start } = await setting(t, database, [mail])
      const cli = async (...args: string[]): Promise<number> => await main(args, { stdout: () => {}, stderr: () => {}, env: { TASKS_DATABASE_URL: url } })
      const ways: Array<Record<'pause' | 'resume', () => Promise<unknown>>> = [
        { pause: async () => { await app.tasks.pause('mail') }, resume: async () => { await app.tasks.resume('mail') } },
        { pause: async () => { t.equal(await cli('pause', 'mail'), 0) }, resume: async () => { t.equal(await cli('resume', 'mail'), 0) } }
      ]
      start({ interval: '10m' })
      for (const { pause, resume } of ways) {
        await pause()
        t.equal((await app.tasks.stats()).queues['mail']?.paused, true)
        const waiting = [await mail.enqueue(), await mail.using({ concurrencyKey: 'k' }).enqueue(), await mail.using({ runAfter: 1 }).enqueue()]
        const other = await mail.using({ queueName: 'other' }).enqueue()
        await other.wait()
        for (const result of waiting) await result.refresh()
        t.same(waiting.map(({ status, attempts }) => [status, attempts]), Array(3).fill(['READY', 0]))
        await resume()
        for (const result of waiting) await result.wait({ timeout: '90s' })
        t.same(waiting.map(({ status, attempts }) => [status, attempts]), Array(3).fill(['SUCCESSFUL', 1]))
      }
    })
  })
}
