import { execFile } from 'node:child_process'
import { appendFile, mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import knexFactory from 'knex'
import { openStore, type Row } from '#lib/store/index.js'
import { monotonic } from './ledger.ts'
import { PgBouncer } from './pgbouncer.ts'
import { PostgresServer, type ServerOptions } from './postgres-server.ts'
import { ReplicatedServers } from './replicated-servers.ts'
import { TcpProxy } from './tcp-proxy.ts'

const run = promisify(execFile)

/** The database under test, and what can be done to it. */
export interface Site {
  readonly name: 'sqlite' | 'postgres'
  /** For the processes: on PostgreSQL through the proxy. */
  readonly url: string
  /** For the tests themselves. */
  readonly direct: string
  readonly proxy: TcpProxy | null
  readonly server: PostgresServer | null
  /** The disk that it is on, where it is one that may be filled. */
  readonly disk: Disk | null
  /** Kill the primary and let its replica take over; where there is one. */
  readonly failOver?: () => Promise<void>
  /** There is a transaction pooler in front. */
  readonly pooled?: boolean
  /** Wait until every result has ended. Answers how many have not. */
  waitUntilEmpty (timeoutMs: number): Promise<number>
  rows (): Promise<Row[]>
  /** What should not be left when every worker has signed off, and damage to the files. */
  remains (): Promise<string[]>
  close (): Promise<void>
}

export interface Disk {
  fill (): Promise<void>
  empty (): Promise<void>
}

/** A file of its own; `smallDisk`: on a file system that can be filled. Null where that is not permitted here. */
export async function openSqliteSite ({ smallDisk = false } = {}): Promise<Site | null> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-faults-sqlite-'))
  if (smallDisk && !await run('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', folder]).then(() => true, () => false)) {
    await rm(folder, { recursive: true, force: true })
    return null
  }
  const url = `sqlite:${join(folder, 'tasks.sqlite3')}`
  return {
    name: 'sqlite',
    url,
    direct: url,
    proxy: null,
    server: null,
    disk: smallDisk ? diskOf(folder, async () => { await emptyLog(join(folder, 'tasks.sqlite3')) }) : null,
    ...readingOf(url),
    async close () {
      if (smallDisk) await run('umount', [folder])
      await rm(folder, { recursive: true, force: true })
    }
  }
}

export interface PostgresSiteOptions {
  /** The database's defaults for every session. */
  readonly settings?: Readonly<Record<string, string>>
  readonly smallDisk?: boolean
  /** With PgBouncer between the proxy and the server. */
  readonly pooler?: boolean
}

/** A server of its own behind a proxy. A sentence where this host does not permit it. */
export async function openPostgresSite ({ settings = {}, smallDisk = false, pooler = false }: PostgresSiteOptions = {}): Promise<Site | string> {
  const folders: string[] = []
  if (smallDisk && !await mayMount()) return 'this host does not let us mount a small disk'
  if (pooler && await PgBouncer.program() === null) return 'there is no pgbouncer on this host'
  const server = await PostgresServer.open(smallDisk ? smallDiskFor(folders) : {})
  const bouncer = pooler ? await PgBouncer.open(server.port) : null
  const proxy = await TcpProxy.open({ host: '127.0.0.1', port: bouncer?.port ?? server.port })
  const url = new URL(server.url)
  url.port = String(proxy.port)
  await server.query('CREATE DATABASE faults')
  url.pathname = '/faults'
  const direct = new URL(server.url)
  direct.pathname = '/faults'
  for (const [name, value] of Object.entries(settings)) await server.query(`ALTER DATABASE faults SET ${name} = '${value}'`)
  return {
    name: 'postgres',
    url: url.href,
    direct: direct.href,
    proxy,
    server,
    disk: smallDisk ? diskOf(server.folder) : null,
    pooled: pooler,
    ...readingOf(direct.href),
    async close () {
      await proxy.close()
      await bouncer?.close()
      await server.stop('immediate')
      for (const folder of folders) await run('umount', [folder])
      await server.close()
    }
  }
}

/** A primary and its replica behind a proxy: what is committed stands on both. */
export async function openReplicatedSite (): Promise<Site | string> {
  const pair = await ReplicatedServers.open()
  if (pair === null) return 'there is no installation of PostgreSQL with pg_basebackup on this host'
  await pair.primary.query('CREATE DATABASE faults')
  const proxy = await TcpProxy.open({ host: '127.0.0.1', port: pair.primary.port })
  const url = new URL(`postgres://postgres@127.0.0.1:${proxy.port}/faults`)
  // The tests' own connections go through another proxy, which is never hurt.
  const door = await TcpProxy.open({ host: '127.0.0.1', port: pair.primary.port })
  const direct = new URL(url)
  direct.port = String(door.port)
  return {
    name: 'postgres',
    url: url.href,
    direct: direct.href,
    proxy,
    server: null,
    disk: null,
    async failOver () {
      await pair.failOver(() => {
        proxy.repoint(pair.primary.port)
        door.repoint(pair.primary.port)
      })
    },
    ...readingOf(direct.href),
    async close () {
      await proxy.close()
      await door.close()
      await pair.close()
    }
  }
}

// Enough for its log and our rows, and soon full.
function smallDiskFor (folders: string[]): ServerOptions {
  return {
    settings: { max_wal_size: '32MB', min_wal_size: '32MB' },
    mount: async (folder) => {
      await run('mount', ['-t', 'tmpfs', '-o', 'size=160m', 'tmpfs', folder])
      folders.push(folder)
    }
  }
}

async function mayMount (): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-faults-mount-'))
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder])
    await run('umount', [folder])
    return true
  } catch {
    return false
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** @param first - what is to be done before it is filled */
function diskOf (folder: string, first: () => Promise<void> = async () => {}): Disk {
  const ballast = join(folder, 'ballast')
  return {
    async fill () {
      await first()
      const { bavail, bsize } = await statfs(folder)
      // Somebody may take some of it meanwhile.
      await appendFile(ballast, Buffer.alloc(bavail * bsize)).catch((error: { code?: unknown }) => { if (error.code !== 'ENOSPC') throw error })
    },
    async empty () { await rm(ballast, { force: true }) }
  }
}

/** Else its pages may be written anew for seconds, in room that they have: a full disk would hurt nobody. In vain beside a checkpoint of another's. */
async function emptyLog (filename: string): Promise<void> {
  const knex = knexFactory({ client: 'sqlite3', connection: { filename }, useNullAsDefault: true })
  await knex.raw('PRAGMA busy_timeout = 2000').catch(() => {})
  await knex.raw('PRAGMA wal_checkpoint(TRUNCATE)').catch(() => {})
  await knex.destroy()
}

function readingOf (url: string): Pick<Site, 'waitUntilEmpty' | 'rows' | 'remains'> {
  const rows = async (status?: 'READY' | 'RUNNING'): Promise<Row[]> => {
    const store = openStore({ url, migrate: false, listen: false })
    try {
      await store.open()
      const found: Row[] = []
      for (let after: string | undefined; ;) {
        const page = await store.list({ backend: 'default', limit: 1_000, ...(status !== undefined && { status }), ...(after !== undefined && { after }) })
        found.push(...page.rows)
        if (page.next === null) return found
        after = page.next
      }
    } finally {
      await store.close()
    }
  }
  return {
    rows: async () => await rows(),
    async waitUntilEmpty (timeoutMs) {
      const deadline = monotonic() + timeoutMs
      for (;;) {
        const left = (await rows('READY')).length + (await rows('RUNNING')).length
        if (left === 0 || monotonic() > deadline) return left
        await sleep(200)
      }
    },
    remains: async () => await remainsIn(url)
  }
}

async function remainsIn (url: string): Promise<string[]> {
  const sqlite = url.startsWith('sqlite:')
  const knex = knexFactory(sqlite
    ? { client: 'sqlite3', connection: { filename: url.slice('sqlite:'.length) }, useNullAsDefault: true }
    : { client: 'pg', connection: url })
  try {
    const found: string[] = []
    for (const table of ['tasks_claims', 'tasks_workers', 'tasks_cancels']) {
      const rows = await knex(table).select()
      if (rows.length > 0) found.push(`${rows.length} rows in ${table}: ${JSON.stringify(rows[0])}`)
    }
    if (sqlite) {
      const [{ integrity_check: integrity }] = await knex.raw('PRAGMA integrity_check')
      if (integrity !== 'ok') found.push(String(integrity))
    }
    return found
  } finally {
    await knex.destroy()
  }
}
