import pg from 'pg'
import { versionOf } from './version.js'

// What SQL by hand would do, with no lease, no fence, no retries: a measure of what the database and its driver can.

export const version = () => `pg ${versionOf('pg')}`

const CHANNEL = 'bare_tasks'
const MIGRATION = `
  CREATE TABLE IF NOT EXISTS bare_tasks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, task text NOT NULL, args text NOT NULL, status text NOT NULL DEFAULT 'READY',
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(), started_at timestamptz, finished_at timestamptz, return_value text);
  CREATE INDEX IF NOT EXISTS bare_tasks_ready ON bare_tasks (id) WHERE status = 'READY'`
const INSERT = { name: 'insert', text: 'INSERT INTO bare_tasks (task, args) VALUES ($1, $2)' }
const INSERT_MANY = { name: 'insert-many', text: 'INSERT INTO bare_tasks (task, args) SELECT $1, unnest($2::text[])' }
const INSERT_MANY_TELLING = { name: 'insert-many-telling', text: `WITH rows AS (${INSERT_MANY.text}) SELECT pg_notify('${CHANNEL}', '')` }
const INSERT_TELLING = { name: 'insert-telling', text: `WITH row AS (INSERT INTO bare_tasks (task, args) VALUES ($1, $2)) SELECT pg_notify('${CHANNEL}', '')` }
const CLAIM = {
  name: 'claim',
  text: `UPDATE bare_tasks SET status = 'RUNNING', started_at = clock_timestamp()
    WHERE id = ANY (ARRAY (SELECT id FROM bare_tasks WHERE status = 'READY' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT $1)) RETURNING id, args`
}
const FINISH = { name: 'finish', text: "UPDATE bare_tasks SET status = 'SUCCESSFUL', finished_at = clock_timestamp(), return_value = 'null' WHERE id = ANY ($1::bigint[])" }
const UNFINISHED = "SELECT EXISTS (SELECT 1 FROM bare_tasks WHERE status <> 'SUCCESSFUL') AS unfinished"
const CONNECTIONS = 10
const POLL_MS = 1_000

export async function openProducer (url, { notify }) {
  const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS })
  await pool.query(MIGRATION)
  const insert = notify ? INSERT_TELLING : INSERT
  const insertMany = notify ? INSERT_MANY_TELLING : INSERT_MANY
  return {
    enqueue: async (payload) => { await pool.query({ ...insert, values: ['noop', JSON.stringify(payload)] }) },
    enqueueMany: async (payloads) => { await pool.query({ ...insertMany, values: ['noop', payloads.map((payload) => JSON.stringify(payload))] }) },
    unfinished: async () => (await pool.query(UNFINISHED)).rows[0].unfinished,
    close: async () => { await pool.end() }
  }
}

export async function openWorker (url, { batch }, run) {
  const client = new pg.Client({ connectionString: url })
  const listener = new pg.Client({ connectionString: url })
  await client.connect()
  await listener.connect()
  const state = { stopped: false, told: true }
  let wake = () => {}
  listener.on('notification', () => { state.told = true; wake() })
  await listener.query(`LISTEN ${CHANNEL}`)

  async function work () {
    while (!state.stopped) {
      state.told = false
      const { rows } = await client.query({ ...CLAIM, values: [batch] })
      await Promise.all(rows.map(({ args }) => run(JSON.parse(args))))
      if (rows.length > 0) await client.query({ ...FINISH, values: [rows.map(({ id }) => id)] })
      else if (!state.told && !state.stopped) await new Promise((resolve) => { wake = resolve; setTimeout(resolve, POLL_MS) })
    }
  }

  const working = work()
  return async () => {
    state.stopped = true
    wake()
    await working
    await client.end()
    await listener.end()
  }
}
