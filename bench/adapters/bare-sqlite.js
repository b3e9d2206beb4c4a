import Database from 'better-sqlite3'
import { watch } from 'node:fs'
import { versionOf } from './version.js'

// What SQL by hand would do on a file, with no lease, no fence, no retries.

export const version = () => `better-sqlite3 ${versionOf('better-sqlite3')}`

const POLL_MS = 1_000
const MIGRATION = `
  CREATE TABLE IF NOT EXISTS bare_tasks (
    id INTEGER PRIMARY KEY, task TEXT NOT NULL, args TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'READY',
    enqueued_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER, return_value TEXT);
  CREATE INDEX IF NOT EXISTS bare_tasks_ready ON bare_tasks (id) WHERE status = 'READY'`

export async function openProducer (url, settings) {
  const database = open(url, settings)
  const insert = database.prepare("INSERT INTO bare_tasks (task, args, enqueued_at) VALUES ('noop', ?, ?)")
  const insertMany = database.transaction((payloads) => { for (const payload of payloads) insert.run(JSON.stringify(payload), Date.now()) })
  const unfinished = database.prepare("SELECT EXISTS (SELECT 1 FROM bare_tasks WHERE status <> 'SUCCESSFUL') AS unfinished")
  return {
    blocks: true,
    enqueue: async (payload) => { insert.run(JSON.stringify(payload), Date.now()) },
    enqueueMany: async (payloads) => { insertMany(payloads) },
    unfinished: async () => unfinished.get().unfinished === 1,
    close: async () => { database.close() }
  }
}

export async function openWorker (url, settings, run) {
  const database = open(url, settings)
  const claim = database.prepare(`UPDATE bare_tasks SET status = 'RUNNING', started_at = ?
    WHERE id IN (SELECT id FROM bare_tasks WHERE status = 'READY' ORDER BY id LIMIT ?) RETURNING id, args`)
  const finish = database.prepare(`UPDATE bare_tasks SET status = 'SUCCESSFUL', finished_at = ?, return_value = 'null'
    WHERE id IN (SELECT value FROM json_each(?))`)
  const state = { stopped: false, told: true }
  let wake = () => {}
  const watcher = watch(`${pathOf(url)}-wal`, () => { state.told = true; wake() })

  async function work () {
    while (!state.stopped) {
      state.told = false
      const rows = claim.all(Date.now(), settings.batch)
      await Promise.all(rows.map(({ args }) => run(JSON.parse(args))))
      if (rows.length > 0) finish.run(Date.now(), JSON.stringify(rows.map(({ id }) => id)))
      await new Promise(setImmediate)
      if (rows.length === 0 && !state.told && !state.stopped) await new Promise((resolve) => { wake = resolve; setTimeout(resolve, POLL_MS) })
    }
  }

  const working = work()
  return async () => {
    state.stopped = true
    wake()
    await working
    watcher.close()
    database.close()
  }
}

function open (url, { synchronous }) {
  const database = new Database(pathOf(url))
  database.pragma('journal_mode = WAL')
  database.pragma(`synchronous = ${synchronous}`)
  database.pragma('busy_timeout = 5000')
  database.exec(MIGRATION)
  return database
}

function pathOf (url) {
  return url.slice('sqlite:'.length)
}
