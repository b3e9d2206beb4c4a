import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { start } from '../processes/call.js'

/**
 * Where contestants keep their tasks: each run gets an empty place of its own. Servers are started when they are first
 * asked for, and end with the bench.
 */
export class Places {
  #postgres = null
  #redis = null
  #given
  #count = 0

  /** @param {string | undefined} postgresUrl - a PostgreSQL to use instead of one of our own */
  constructor (postgresUrl) {
    this.#given = postgresUrl
  }

  /** Why there is no place on this database here; null where there is one. */
  lacks (database) {
    if (database !== 'redis' || spawnSync('redis-server', ['--version']).error === undefined) return null
    return 'redis-server is not on the path'
  }

  /**
   * @returns {Promise<{ url: string, settle: () => Promise<void>, close: () => Promise<void>,
   * cpu: () => Promise<number | null> }>} `cpu`: milliseconds that the server has taken so far, where that can be told
   */
  async open (database) {
    if (database === 'postgres') return await this.#openPostgres()
    if (database === 'sqlite') return await openSqlite()
    return await this.#openRedis()
  }

  /** What the databases call themselves; only of those that were used. */
  async versions () {
    const versions = {}
    if (this.#postgres !== null) versions['PostgreSQL'] = (await query(await this.#postgres.url, 'SHOW server_version'))[0].server_version
    if (this.#redis !== null) {
      const client = new Redis(await this.#redis.url)
      versions['Redis'] = /redis_version:(\S+)/.exec(await client.info('server'))?.[1]
      client.disconnect()
    }
    return versions
  }

  async close () {
    for (const server of [this.#postgres, this.#redis]) await (await server?.process)?.end()
  }

  async #openPostgres () {
    this.#postgres ??= this.#given === undefined ? serverOf('servers/postgres.js') : { url: this.#given, process: null }
    const server = await this.#postgres.url
    this.#count += 1
    const name = `fastify_tasks_bench_${process.pid}_${this.#count}`
    await query(server, `CREATE DATABASE ${name}`)
    const url = new URL(server)
    url.pathname = `/${name}`
    return {
      url: url.href,
      cpu: async () => await (await this.#postgres.process)?.call('cpu') ?? null,
      settle: async () => {
        await query(url.href, 'ANALYZE') // what autovacuum does within a minute: a plan for an empty table would say nothing of anybody
        await query(server, 'CHECKPOINT') // so that none falls into what is timed by chance
      },
      close: async () => { await query(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) }
    }
  }

  async #openRedis () {
    this.#redis ??= serverOf('servers/redis.js')
    const url = await this.#redis.url
    const client = new Redis(url)
    await client.flushall()
    client.disconnect()
    return { url, cpu: async () => null, settle: async () => {}, close: async () => {} }
  }
}

function serverOf (script) {
  const process = start(script)
  return { process, url: process.then(async (server) => await server.call('url')) }
}

async function openSqlite () {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-tasks-bench-sqlite-'))
  return {
    url: `sqlite:${join(folder, 'tasks.sqlite3')}`,
    cpu: async () => null,
    settle: async () => {},
    close: async () => { await rm(folder, { recursive: true, force: true }) }
  }
}

async function query (url, sql) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}
