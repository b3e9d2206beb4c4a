import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import Fastify from 'fastify'
import pg from 'pg'
import { ourVersion } from './version.js'

const HERE = new URL('../../', import.meta.url)

export const version = () => `fastify-tasks ${ourVersion()}`

const UNFINISHED = 'SELECT EXISTS (SELECT 1 FROM tasks_results WHERE finished_at IS NULL) AS answer'
const KEYS = 100
const KEY_LIMIT = 10
const STORED = 'SELECT count(*) AS answer FROM tasks_results'

export async function openProducer (url, settings) {
  const ours = await load(settings)
  const tasks = tasksOf(ours, () => {})
  const [noop, transactional] = tasks
  const app = await openApp(ours, url, settings, tasks)
  const kinds = {
    limited: (n) => noop.using({ concurrencyKey: `key ${n % KEYS}`, concurrencyLimit: KEY_LIMIT }),
    unique: (n) => noop.using({ uniqueKey: `key ${n}` }),
    tagged: () => noop.using({ tags: ['bench'] }),
    transactional: () => transactional
  }
  const database = await openDatabase(url, settings)
  return {
    enqueue: async (payload) => { await app.tasks.enqueue(noop, payload) },
    enqueueMany: async (payloads) => { await app.tasks.enqueueMany(noop, payloads.map((payload) => [payload])) },
    enqueueKind: async (kind, payload) => { await app.tasks.enqueue(kinds[kind](payload.n), payload) },
    unfinished: async () => Boolean(await database.ask(UNFINISHED)),
    close: async () => {
      await database.close()
      await app.close()
    }
  }
}

export async function openWorker (url, settings, run) {
  const ours = await load(settings)
  const app = await openApp(ours, url, settings, tasksOf(ours, run))
  const worker = ours.createWorker(app, settings.worker)
  const running = worker.run()
  return async () => {
    await worker.stop()
    await running
    await app.close()
  }
}

export async function addRoutes (app, adapter, { url, settings }) {
  const ours = await load(settings)
  const tasks = tasksOf(ours, () => {})
  const [noop] = tasks
  await app.register(ours.fastifyTasks, optionsOf(url, settings, tasks))
  let n = 0
  app.get('/before', async () => {
    await app.tasks.enqueue(noop, { n: n++, at: 0 })
    return { ok: true }
  })
  app.get('/after', async (request) => {
    request.tasks.enqueue(noop, { n: n++, at: 0 })
    return { ok: true }
  })
  await app.ready() // the tables are there
  const database = await openDatabase(url, settings)
  return {
    flushed: async () => { await app.tasks.flushed() },
    stored: async () => Number(await database.ask(STORED)),
    close: async () => { await database.close() }
  }
}

/** From this checkout, or from another one that is built, too. */
async function load (settings) {
  const root = rootOf(settings)
  const { fastifyTasks, task } = await import(new URL('dist/lib/index.js', root).href)
  const { createWorker } = await import(new URL('dist/lib/worker/index.js', root).href)
  return { fastifyTasks, task, createWorker }
}

function rootOf ({ checkout }) {
  return checkout === undefined ? HERE : pathToFileURL(`${resolve(checkout)}/`)
}

function tasksOf ({ task }, run) {
  return [
    task('bench.noop', async (payload) => { await run(payload) }),
    task('bench.transactional', { takesContext: true }, async (context, payload) => { await context.transaction(async () => { await run(payload) }) })
  ]
}

function optionsOf (url, settings, tasks) {
  return { env: false, tasks, backends: { default: { backend: 'database', url } }, ...settings.plugin }
}

async function openApp ({ fastifyTasks }, url, settings, tasks) {
  const app = Fastify({ logger: settings.logger })
  await app.register(fastifyTasks, optionsOf(url, settings, tasks))
  await app.ready()
  return app
}

/** A look past the library, at what it has stored. */
async function openDatabase (url, settings) {
  if (url.startsWith('sqlite:')) {
    // With the driver that the library uses: the locks of SQLite are those of the process, and two copies of it in one
    // process, which do not know of each other, take each other's away (a SIGBUS on 2026-11-29).
    const { Database, OPEN_READONLY } = createRequire(rootOf(settings))('sqlite3')
    const database = await new Promise((resolve, reject) => {
      const opened = new Database(url.slice('sqlite:'.length), OPEN_READONLY, (error) => { if (error === null) resolve(opened); else reject(error) })
    })
    return {
      ask: async (sql) => await new Promise((resolve, reject) => { database.get(sql, (error, row) => { if (error === null) resolve(row.answer); else reject(error) }) }),
      close: async () => { await new Promise((resolve) => { database.close(resolve) }) }
    }
  }
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return {
    ask: async (sql) => (await client.query(sql)).rows[0].answer,
    close: async () => { await client.end() }
  }
}
