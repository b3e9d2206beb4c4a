import { randomBytes } from 'node:crypto'
import pg from 'pg'
import type { OpenOptions, TestDatabases } from './databases.ts'
import { serverUrl } from './postgres.ts'

// Creating a database takes PostgreSQL a quarter of a second, and so does making a store's tables; emptying one takes a
// few milliseconds. So a test file uses those again that its earlier tests have closed, without tables and with them.
const bare: string[] = []
const withTables: string[] = []
let leaving = false

// Of each database that was closed before, the session that emptied it: another one costs as much as the emptying.
const sessions = new Map<string, Session>()

/** Its types leave these two out. */
type Session = pg.Client & { ref (): void, unref (): void }

export const postgres: TestDatabases = {
  name: 'postgres',
  async open ({ keepTables = false }: OpenOptions = {}) {
    const server = await serverUrl()
    const free = keepTables ? withTables : bare
    const name = free.pop() ?? await createDatabase(server)
    const url = new URL(server)
    url.pathname = `/${name}`
    return {
      url: url.href,
      close: async () => {
        await administer(url.href, endSessions('true') + (keepTables ? EMPTY : `ALTER DATABASE ${name} RESET ALL; ${WIPE}`))
        free.push(name)
      }
    }
  }
}

/** Leave no row of a test, and none of its sessions at work. A store on the database goes on. */
export async function emptyTables (url: string): Promise<void> {
  await administer(url, endSessions("state <> 'idle'") + EMPTY)
}

async function createDatabase (server: string): Promise<string> {
  const name = `fastify_tasks_${randomBytes(8).toString('hex')}`
  await administer(server, `CREATE DATABASE ${name}`)
  if (!leaving) {
    leaving = true
    process.once('beforeExit', () => { void leave(server) })
  }
  return name
}

async function leave (server: string): Promise<void> {
  for (const name of [...bare.splice(0), ...withTables.splice(0)]) await administer(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  for (const session of sessions.values()) await session.end()
}

/** A test may have lost its sessions on purpose. One that is at work may still commit until it is gone. */
function endSessions (which: string): string {
  return `
    SELECT pg_terminate_backend(pid, CASE state WHEN 'idle' THEN 0 ELSE 10000 END) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND ${which};`
}

const WIPE = `
  DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
      EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    CREATE SCHEMA public;
  END $$`

const EMPTY = `
  DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ 'migrations' LOOP
      EXECUTE format('DELETE FROM %I', name);
    END LOOP;
  END $$`

async function administer (url: string, statements: string): Promise<void> {
  const session = sessions.get(url) ?? await connect(url)
  session.ref()
  try {
    await session.query(statements)
  } catch (error) {
    // It may have been ended by a test that ends all sessions.
    if (sessions.get(url) === session) throw error
    await administer(url, statements)
  } finally {
    session.unref() // it does not keep the test's process from ending
  }
}

async function connect (url: string): Promise<Session> {
  const session = new pg.Client({ connectionString: url }) as Session
  session.on('error', () => { sessions.delete(url) })
  await session.connect()
  sessions.set(url, session)
  return session
}
