import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Where the tests' PostgreSQL is: named by the environment, or started here, once in this process. */
export async function serverUrl (): Promise<string> {
  const given = process.env['TASKS_TEST_DATABASE_URL']
  if (given !== undefined && given !== '') return given
  started ??= startServer()
  return (await started).url
}

export interface Server {
  readonly url: string
  stop (): Promise<void>
}

let started: Promise<Server> | undefined

/**
 * Start a PostgreSQL that lives as long as this process, however it ends: a guardian process owns the server and
 * stops it when the pipe between the two closes. It does not keep this process from ending.
 */
export async function startServer (): Promise<Server> {
  const script = fileURLToPath(new URL('postgres-guardian.ts', import.meta.url))
  const guardian = spawn(process.execPath, ['--import=tsx', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: guardianEnv(),
    detached: true // a group of its own: a terminal's Ctrl-C is for the tests, whose end is what stops the server
  })
  const exited = new Promise<void>((resolve) => { guardian.once('exit', () => { resolve() }) })
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: guardian.stdout }).once('line', resolve)
    guardian.once('error', reject)
    guardian.once('exit', (code) => { reject(new Error(`The tests' PostgreSQL did not start (exit code ${code}). Or name a server: TASKS_TEST_DATABASE_URL`)) })
  })
  guardian.unref()
  ;(guardian.stdin as unknown as { unref (): void }).unref()
  ;(guardian.stdout as unknown as { unref (): void }).unref()
  return {
    url,
    stop: async () => {
      guardian.ref()
      guardian.stdin.end()
      await exited
    }
  }
}

/** The guardian is no test: what a test runner put into the environment for its children is not for it. */
function guardianEnv (): NodeJS.ProcessEnv {
  const { NODE_OPTIONS, NODE_V8_COVERAGE, ...env } = process.env
  return env
}
