import { execFile } from 'node:child_process'
import { access, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from '../support/eventually.ts'
import { PostgresServer } from './postgres-server.ts'

const run = promisify(execFile)

const INSTALLATIONS = '/usr/lib/postgresql' // of Debian and its kin
const SYNCHRONOUS = { wal_level: 'replica', max_wal_senders: '5', hot_standby: 'on' }

/** A primary, and a replica that has all that was committed: a COMMIT is answered when both have it. */
export class ReplicatedServers {
  primary: PostgresServer
  #replica: PostgresServer
  readonly #programs: string

  private constructor (primary: PostgresServer, replica: PostgresServer, programs: string) {
    this.primary = primary
    this.#replica = replica
    this.#programs = programs
  }

  /** Null where there is no pg_basebackup: the embedded package has none. */
  static async open (): Promise<ReplicatedServers | null> {
    const programs = await installation()
    if (programs === null) return null
    const primary = await PostgresServer.open({ programs, settings: SYNCHRONOUS })
    return new ReplicatedServers(primary, await follow(primary, programs), programs)
  }

  /** The primary dies, the replica is promoted, `repoint` leads clients to it, and it is given a replica of its own. */
  async failOver (repoint: () => void): Promise<void> {
    const dead = this.primary
    await dead.stop('kill')
    this.primary = this.#replica
    await run(join(this.#programs, 'pg_ctl'), ['promote', '-D', join(this.primary.folder, 'data')], this.primary.user)
    await eventually(async () => {
      const [row] = await this.primary.query('SELECT pg_is_in_recovery() AS follows')
      if (row?.['follows'] !== false) throw new Error('it is not promoted yet')
    }, { timeout: 30_000, interval: 50 })
    repoint()
    this.#replica = await follow(this.primary, this.#programs)
    await dead.close()
  }

  async close (): Promise<void> {
    await this.#replica.close()
    await this.primary.close()
  }
}

/** A replica of this server, from now on synchronous. */
async function follow (primary: PostgresServer, programs: string): Promise<PostgresServer> {
  const replica = await PostgresServer.open({
    programs,
    settings: SYNCHRONOUS,
    prepare: async (data, user) => {
      await run(join(programs, 'pg_basebackup'), ['-h', '127.0.0.1', '-p', String(primary.port), '-U', 'postgres', '-D', data, '-X', 'stream', '-c', 'fast', '-R', '--no-sync'], user)
      // What was copied from a primary says to wait for a replica; this one has none yet.
      await writeFile(join(data, 'postgresql.auto.conf'), `primary_conninfo = 'host=127.0.0.1 port=${primary.port} user=postgres'\n`)
    }
  })
  await eventually(async () => {
    const rows = await primary.query("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
    if (rows.length === 0) throw new Error('the replica does not follow yet')
  }, { timeout: 30_000, interval: 50 })
  await primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
  await primary.query('SELECT pg_reload_conf()')
  return replica
}

/** The newest one that has all that is needed. */
async function installation (): Promise<string | null> {
  const versions = await readdir(INSTALLATIONS).catch(() => [])
  for (const version of versions.sort((a, b) => Number(b) - Number(a))) {
    const programs = join(INSTALLATIONS, version, 'bin')
    if (await access(join(programs, 'pg_basebackup')).then(() => true, () => false)) return programs
  }
  return null
}
