import { spawn } from 'node:child_process'
import { startServer } from './postgres.ts'

// node --import=tsx test/support/with-databases.ts <command> [args]: one PostgreSQL for all that the command starts.

const [command, ...args] = process.argv.slice(2)
if (command === undefined) throw new Error('usage: with-databases.ts <command> [args]')
const needed = process.env['TASKS_TEST_ONLY'] !== 'sqlite' && !process.env['TASKS_TEST_DATABASE_URL']
const server = needed ? await startServer() : null
const env = { ...process.env, ...(server !== null && { TASKS_TEST_DATABASE_URL: server.url }) }
const child = spawn(command, args, { stdio: 'inherit', env })
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => { child.kill(signal) })
const code = await new Promise<number>((resolve) => {
  child.once('error', (error) => { console.error(error.message); resolve(127) })
  child.once('exit', (code) => { resolve(code ?? 1) })
})
await server?.stop()
process.exitCode = code
