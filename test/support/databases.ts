import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { serverUrl } from './postgres.ts'

/** A database of its own for one test: empty when it is opened, nobody's when it is closed. */
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

// Creating a database takes PostgreSQL a quarter of a second; emptying one takes a few milliseconds. So a test file uses
// those again that its earlier tests have closed.
const empty: string[] = []
let leaving = false

const postgres: TestDatabases = {
  name: 'postgres',
  async open () {
    const server = await serverUrl()
    const name = empty.pop() ?? await createDatabase(server)
    const url = new URL(server)
    url.pathname = `/${name}`
    return {
      url: url.href,
      close: async () => {
        await wipe(url.href, name)
        empty.push(name)
      }
    }
  }
}

async function createDatabase (server: string): Promise<string> {
  const name = `fastify_tasks_${randomBytes(8).toString('hex')}`
  await administer(server, `CREATE DATABASE ${name}`)
  if (!leaving) {
    leaving = true
    process.once('beforeExit', () => { void Promise.all(empty.splice(0).map(async (name) => { await administer(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) })) })
  }
  return name
}

/** Leave nothing of a test behind: neither its connections, which it may have lost on purpose, nor its tables and settings. */
async function wipe (url: string, name: string): Promise<void> {
  await administer(url, `
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
    ALTER DATABASE ${name} RESET ALL;
    DO $$ DECLARE name text; BEGIN
      FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
      END LOOP;
      CREATE SCHEMA public;
    END $$`)
}

async function administer (url: string, statements: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statements)
  } finally {
    await client.end()
  }
}

const only = process.env['TASKS_TEST_ONLY']
if (only !== undefined && only !== 'sqlite' && only !== 'postgres') throw new Error('TASKS_TEST_ONLY must be sqlite or postgres')

/** The databases that every test of a store or a backend runs on; TASKS_TEST_ONLY=sqlite|postgres leaves one. */
export const databases: readonly TestDatabases[] = [sqlite, postgres].filter(({ name }) => only === undefined || only === name)
