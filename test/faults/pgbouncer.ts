import { spawn, type ChildProcess } from 'node:child_process'
import { access, chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import pg from 'pg'
import { eventually } from '../support/eventually.ts'
import { freePort, unprivileged } from './postgres-server.ts'

/** PgBouncer with transactions as its unit: sessions are shared, and nothing that is set in one stays with its client. */
export class PgBouncer {
  readonly port: number
  readonly #process: ChildProcess
  readonly #folder: string

  private constructor (port: number, process: ChildProcess, folder: string) {
    this.port = port
    this.#process = process
    this.#folder = folder
  }

  /** Null where it is not installed. */
  static async program (): Promise<string | null> {
    for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin']) {
      const file = join(folder, 'pgbouncer')
      if (await access(file).then(() => true, () => false)) return file
    }
    return null
  }

  static async open (server: number): Promise<PgBouncer> {
    const program = await PgBouncer.program()
    if (program === null) throw new Error('there is no pgbouncer on this host')
    const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-faults-pgbouncer-'))
    const user = await unprivileged()
    const port = await freePort()
    const settings = join(folder, 'pgbouncer.ini')
    // As it comes: settings that a connection begins with are refused, and statements that were prepared are not known.
    await writeFile(settings, `
      [databases]
      * = host=127.0.0.1 port=${server} user=postgres
      [pgbouncer]
      listen_addr = 127.0.0.1
      listen_port = ${port}
      unix_socket_dir =
      auth_type = any
      pool_mode = transaction
      default_pool_size = 8
      max_client_conn = 500
      server_login_retry = 0.2
    `.replace(/^ +/gm, ''))
    await chmod(folder, 0o755)
    if (user.uid !== undefined) await chown(folder, user.uid, user.gid ?? user.uid)
    const bouncer = new PgBouncer(port, spawn(program, ['-q', settings], { ...user, stdio: 'ignore' }), folder)
    await eventually(async () => {
      const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', connectionTimeoutMillis: 2_000 })
      client.on('error', () => {})
      try {
        await client.connect()
      } finally {
        await client.end().catch(() => {})
      }
    }, { timeout: 20_000, interval: 50 })
    return bouncer
  }

  async close (): Promise<void> {
    const gone = new Promise((resolve) => { this.#process.once('exit', resolve) })
    if (this.#process.exitCode === null && this.#process.kill('SIGQUIT')) await gone
    await rm(this.#folder, { recursive: true, force: true })
  }
}
