import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { answer } from '../processes/answer.js'
import { freePort } from './port.js'

// A Redis of the bench's own with its default settings: snapshots now and then, no append-only file. So what BullMQ has
// acknowledged is not durable, unlike what the others have.

answer(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-bench-redis-'))
  const port = await freePort()
  const server = spawn('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder], { stdio: 'ignore' })
  await once(server, 'spawn')
  const client = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: 50 })
  client.on('error', () => {}) // refused until it is up
  await client.ping()
  client.disconnect()
  return {
    url: () => `redis://127.0.0.1:${port}`,
    async close () {
      const exited = once(server, 'exit')
      server.kill('SIGTERM')
      await exited
      await rm(folder, { recursive: true, force: true })
    }
  }
})
