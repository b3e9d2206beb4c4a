import { rmSync } from 'node:fs'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '#lib/store/index.js'
import { postgres } from './postgres-databases.ts'

/** A database of its own for one test: empty when it is opened, nobody's when it is closed. */
export interface TestDatabase {
  readonly url: string
  close (): Promise<void>
}

export interface OpenOptions {
  /** A store's tables may be there, empty ones: making them would take the most of a short test. */
  readonly keepTables?: boolean
}

export interface TestDatabases {
  readonly name: 'sqlite' | 'postgres'
  open (options?: OpenOptions): Promise<TestDatabase>
}

const sqlite: TestDatabases = {
  name: 'sqlite',
  async open ({ keepTables = false } = {}) {
    const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-sqlite-'))
    const file = join(folder, 'tasks.sqlite3')
    if (keepTables) await copyFile(await (withTables ??= fileWithTables()), file)
    return {
      url: `sqlite:${file}`,
      close: async () => { await rm(folder, { recursive: true, force: true }) }
    }
  }
}

let withTables: Promise<string> | undefined

/** A database file that a store has been opened on, for the rest of this process. */
async function fileWithTables (): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-sqlite-'))
  process.once('exit', () => { rmSync(folder, { recursive: true, force: true }) })
  const file = join(folder, 'tasks.sqlite3')
  const store = openStore({ url: `sqlite:${file}` })
  await store.open()
  await store.close()
  return file
}

const only = process.env['TASKS_TEST_ONLY']
if (only !== undefined && only !== 'sqlite' && only !== 'postgres') throw new Error('TASKS_TEST_ONLY must be sqlite or postgres')

/** The databases that every test of a store or a backend runs on; TASKS_TEST_ONLY=sqlite|postgres leaves one. */
export const databases: readonly TestDatabases[] = [sqlite, postgres].filter(({ name }) => only === undefined || only === name)
