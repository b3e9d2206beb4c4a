import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { serverUrl } from './postgres.ts'

/** A database of its own for one test: empty when it is opened, gone when it is closed. */
export interface TestDatabase {
  readonly url: string
  close (): Promise<void>
}

export interface TestDatabases {
  readonly name: 'sqlite' | 'postgres'
  open (): Promise<TestDatabase>
}

const sqlite: TestDatabases = {
  name: 'sqlite',
  async open () {
    const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-sqlite-'))
    return {
      url: `sqlite:${join(folder, 'tasks.sqlite3')}`,
      close: async () => { await rm(folder, { recursive: true, force: true }) }
    }
  }
}

const postgres: TestDatabases = {
  name: 'postgres',
  async open () {
    const server = await serverUrl()
    const name = `fastify_tasks_${randomBytes(8).toString('hex')}`
    await administer(server, `CREATE DATABASE ${name}`)
    const url = new URL(server)
    url.pathname = `/${name}`
    return {
      url: url.href,
      // FORCE: a test about lost connections may leave some behind.
      close: async () => { await administer(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) }
    }
  }
}

async function administer (server: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: server })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

const only = process.env['TASKS_TEST_ONLY']
if (only !== undefined && only !== 'sqlite' && only !== 'postgres') throw new Error('TASKS_TEST_ONLY must be sqlite or postgres')

/** The databases that every test of a store or a backend runs on; TASKS_TEST_ONLY=sqlite|postgres leaves one. */
export const databases: readonly TestDatabases[] = [sqlite, postgres].filter(({ name }) => only === undefined || only === name)
