import { createRequire } from 'node:module'
import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Connections } from './connections.js'
import type { Session } from './session.js'

/** What an operator wants to know of a database before trusting it with work. */
export interface Inspection {
  readonly dialect: 'sqlite' | 'postgres'
  /** Of the database: `18.1`, `3.53.0`. */
  readonly version: string
  /** Name and version of the driver. */
  readonly driver: string
  readonly settings: readonly Setting[]
  /** Workers whose lease has run out and whose tasks nobody has taken back yet. */
  readonly deadWorkers: ReadonlyArray<{ id: string, silentMs: number, claims: number }>
  /** Age in ms of the oldest open transaction of the database, which keeps vacuum from dead rows; null where there is none, or the database has no such thing. */
  readonly oldestTransactionMs: number | null
}

/** A setting that the promises rest on. */
export interface Setting {
  readonly name: string
  readonly value: string
  /** Null where the value is as it should be, else what it costs. */
  readonly problem: string | null
}

const require = createRequire(import.meta.url)

/** Look at the database; changes nothing. @throws FST_TASKS_STORE_UNAVAILABLE */
export async function inspect (connections: Connections, session: Session): Promise<Inspection> {
  const look = connections.dialect.name === 'postgres' ? inspectPostgres : inspectSqlite
  return {
    dialect: connections.dialect.name,
    driver: driverOf(connections),
    ...await look(connections, session),
    deadWorkers: await deadWorkers(session)
  }
}

type Found = Pick<Inspection, 'version' | 'settings' | 'oldestTransactionMs'>

async function inspectPostgres (_: Connections, session: Session): Promise<Found> {
  const [row = {}] = await session.read('read its settings', `
    SELECT current_setting('server_version') AS version,
      current_setting('fsync') AS fsync,
      current_setting('synchronous_commit') AS synchronous_commit,
      current_setting('full_page_writes') AS full_page_writes,
      current_setting('autovacuum') AS autovacuum,
      CASE WHEN pg_is_in_recovery() THEN 'on' ELSE current_setting('default_transaction_read_only') END AS read_only,
      (SELECT floor(extract(epoch FROM clock_timestamp() - min(xact_start)) * 1000)::bigint FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL) AS oldest`)
  const text = (name: string): string => String(row[name])
  return {
    version: text('version'),
    settings: [
      setting('fsync', text('fsync'), ['on'], 'an acknowledged enqueue can be lost, and the database damaged, in a power cut'),
      setting('full_page_writes', text('full_page_writes'), ['on'], 'a power cut can leave torn pages, unless the file system rules them out'),
      setting('autovacuum', text('autovacuum'), ['on'], 'the tables grow without end, and claims slow down'),
      setting('synchronous_commit', text('synchronous_commit'), ['on', 'local', 'remote_write', 'remote_apply'], 'an acknowledged enqueue can be lost in a power cut'),
      setting('read_only', text('read_only'), ['off'], 'this server takes no writes: it is a replica, or set to read only')
    ],
    oldestTransactionMs: row['oldest'] === null || row['oldest'] === undefined ? null : Number(row['oldest'])
  }
}

async function inspectSqlite ({ file }: Connections, session: Session): Promise<Found> {
  // Of the connection that writes: where it is the app's own, its settings are the app's as well.
  const pragma = async (name: string): Promise<string> => {
    const { rows: [row = {}] } = await session.write('read its settings', `PRAGMA ${name}`)
    return String(Object.values(row)[0])
  }
  const [row = {}] = await session.read('read its version', 'SELECT sqlite_version() AS version')
  const [mode, synchronous, timeout] = [await pragma('journal_mode'), await pragma('synchronous'), await pragma('busy_timeout')]
  return {
    version: String(row['version']),
    settings: [
      setting('journal_mode', mode, ['wal', ...(file === null ? ['memory'] : [])], 'readers and writers block each other'),
      setting('synchronous', SYNCHRONOUS[synchronous] ?? synchronous, ['FULL', 'EXTRA'], 'an acknowledged enqueue can be lost in a power cut'),
      setting('busy_timeout', timeout, Number(timeout) > 0 ? [timeout] : [], 'a writer that meets another process fails at once'),
      ...(file === null ? [] : [await fileSystem(file)])
    ],
    oldestTransactionMs: null
  }
}

const SYNCHRONOUS: Readonly<Record<string, string>> = { 0: 'OFF', 1: 'NORMAL', 2: 'FULL', 3: 'EXTRA' }

// Numbers of statfs(2) on Linux: file systems that are shared between hosts.
const NETWORK: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'], [0x517b, 'SMB'], [0xff534d42, 'CIFS'], [0xfe534d42, 'SMB2'], [0x01021997, '9P'], [0x00c36400, 'Ceph'], [0x5346414f, 'AFS']
])

async function fileSystem (file: string): Promise<Setting> {
  const type = process.platform === 'linux' ? (await statfs(dirname(file)).catch(() => null))?.type : undefined
  const name = type === undefined ? undefined : NETWORK.get(type)
  return setting('file system', name ?? 'local', ['local'], 'SQLite cannot rely on locks over a network, and WAL needs shared memory: keep the file on a local disk')
}

function setting (name: string, value: string, good: readonly string[], problem: string): Setting {
  return { name, value, problem: good.includes(value) ? null : problem }
}

async function deadWorkers (session: Session): Promise<Inspection['deadWorkers']> {
  const { dialect: { now, leaseClock }, tables: { workers, claims } } = session
  const clock = leaseClock()
  const rows = await session.read('read its workers', `
    SELECT w.id, ${now} - w.last_seen AS silent, (SELECT count(*) FROM ${claims} c WHERE c.worker = w.id) AS claims
    FROM ${workers} w WHERE ${clock.expired('w')} ORDER BY w.last_seen`, clock.expiredBound)
  return rows.map((row) => ({ id: String(row['id']), silentMs: Number(row['silent']), claims: Number(row['claims']) }))
}

function driverOf ({ writer }: Connections): string {
  const name = String((writer.client as { driverName?: string }).driverName)
  try {
    return `${name} ${(require(`${name}/package.json`) as { version: string }).version}`
  } catch {
    return name
  }
}
