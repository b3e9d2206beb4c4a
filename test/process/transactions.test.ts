import assert from 'node:assert/strict'
import t from 'tap'
import Fastify from 'fastify'
import fastifyTasks, { task } from 'fastify-tasks'
import knexFactory from 'knex'
import { join } from 'node:path'
import { databases } from '../support/databases.ts'
import { eventually } from '../support/eventually.ts'
import { startProcess } from '../support/processes.ts'

const effect = task('effect', async (at: string, together: number): Promise<{ of: string }> => { throw new Error(`only a worker runs it: ${at} ${together}`) })

// Those that hold no transaction open, and one that does: SQLite has one writer at a time. Where the COMMIT was sent and
// nobody read the answer, either may be.
const ROUNDS = [
  [['before the transaction', 2], ['committed', 1], ['before the return', 1], ['begun', 2]],
  [['before the transaction', 2], ['committed', 1], ['written', 2]],
  [['before the return', 1], ['before the COMMIT', 2]],
  [['COMMIT sent', null]]
] as const

for (const { name, open } of databases) {
  t.test(`on ${name}, the effect of a task is there exactly once, wherever around context.transaction() its process is killed`, async (t) => {
    const { url, close } = await open()
    t.teardown(close)
    const knex = url.startsWith('sqlite:') ? knexFactory({ client: 'sqlite3', connection: { filename: url.slice('sqlite:'.length) }, useNullAsDefault: true }) : knexFactory({ client: 'pg', connection: url })
    t.teardown(async () => { await knex.destroy() })
    const app = Fastify()
    t.teardown(async () => { await app.close() })
    await app.register(fastifyTasks, { env: false, tasks: [effect], backends: { default: { url } } })
    await app.ready()
    await knex.schema.createTable('effects', (table) => { table.text('id') })
    const worker = startProcess({ after: (fn) => { t.teardown(fn) } }, join(import.meta.dirname, 'fixtures/kill-points.js'), {
      // What a killed process held is settled by the next one: nothing waits for a lease, and none may run out meanwhile.
      args: ['--lease', '20s', '--sweep', '100ms', '--interval', '100ms'],
      env: { TASKS_DATABASE_URL: url }
    })
    for (const [number, points] of ROUNDS.entries()) {
      const results = []
      // In the order in which they can stand at their points: the last holds the transaction.
      for (const [at] of points) results.push(await effect.using({ priority: -results.length }).enqueue(at, points.length))
      for (const [index, [at, attempts]] of points.entries()) {
        const result = results[index]!
        await result.wait({ timeout: '90s' })
        t.same([result.status, result.returnValue], ['SUCCESSFUL', { of: result.id }], at)
        t.equal((await knex('effects').where({ id: result.id })).length, 1, `${at}: once`)
        if (attempts !== null) t.equal(result.attempts, attempts, at)
      }
      await eventually(() => { assert.equal(worker.lines.filter((line) => line.includes('"msg":"worker ready"')).length, number + 2) })
    }
    worker.signal('SIGTERM')
    t.same(await worker.exit(), { code: 0, signal: null })
  })
}
