import type { Knex } from 'knex'
import type { Dialect } from '../dialects/dialect.js'
import type { Tables } from '../tables.js'

/**
 * The tables of version 0.1. docs/architecture.md says what each column is for, and why few are indexed. Written once;
 * a later change is a later migration.
 */
export async function up (knex: Knex, tables: Tables, dialect: Dialect): Promise<void> {
  const sql = dialect.name === 'postgres' ? POSTGRES : SQLITE
  const { results } = tables
  for (const statement of [...sql.tables(tables), ...indexes(tables)]) await knex.raw(statement)
  if (dialect.name === 'postgres') {
    // Every finish and claim leaves a dead version: room on the page for both to stay on it, which takes the space of one
    // more version, since the first one's is free again by the time of the second update. And a vacuum that starts by number, not by a share of a
    // table that keeps finished rows for weeks.
    await knex.raw(`ALTER TABLE ${results} SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 1)`)
    await knex.raw(`CREATE INDEX ${tables.index('returned_at')} ON ${tables.returned} (backend, at)`)
    for (const table of [tables.workers, tables.claims, tables.cancels]) {
      await knex.raw(`ALTER TABLE ${table} SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)`)
    }
  }
}

export async function down (knex: Knex, tables: Tables, _dialect: Dialect): Promise<void> {
  const { returned, limits, tags, waits, cancels, queues, claims, workers, results, meta } = tables
  for (const table of [returned, limits, tags, waits, cancels, queues, claims, workers, results, meta]) await knex.raw(`DROP TABLE IF EXISTS ${table}`)
}

function indexes ({ results, tags, index }: Tables): string[] {
  return [
    // The claim index: its order is the order of the contract.
    `CREATE INDEX ${index('results_claim')} ON ${results} (backend, queue, priority DESC, due, seq) WHERE claimable AND NOT quarantined`,
    `CREATE INDEX ${index('results_quarantine')} ON ${results} (backend, queue, priority DESC, due, seq) WHERE claimable AND quarantined`,
    `CREATE INDEX ${index('results_parked')} ON ${results} (backend, parked, queue, due) WHERE parked IS NOT NULL`,
    `CREATE INDEX ${index('results_failed')} ON ${results} (backend, id, queue) WHERE failed_at IS NOT NULL`,
    `CREATE INDEX ${index('results_cancelled')} ON ${results} (backend, id) WHERE cancel_at IS NOT NULL`,
    `CREATE UNIQUE INDEX ${index('results_unique')} ON ${results} (backend, task, unique_key) WHERE unique_held`,
    // Rows of scope 'ready' that were put back READY: verbs/unique-key.ts asks for them in the same words.
    `CREATE INDEX ${index('results_unique_again')} ON ${results} (backend, task, unique_key) WHERE unique_ready AND unique_held IS NULL AND (claimable OR parked IS NOT NULL)`,
    // Rows that a limit holds back, and those that hold a concurrency key: apart, so that no other row pays for them.
    `CREATE INDEX ${index('results_limited')} ON ${results} (backend, waiting, priority DESC, due, seq) WHERE waiting IS NOT NULL AND NOT quarantined`,
    `CREATE INDEX ${index('results_limited_quarantine')} ON ${results} (backend, waiting, priority DESC, due, seq) WHERE waiting IS NOT NULL AND quarantined`,
    `CREATE INDEX ${index('results_holds')} ON ${results} (backend, concurrency_key) WHERE holds`,
    `CREATE INDEX ${index('tags_id')} ON ${tags} (id)`
  ]
}

const STATUS_CHECK = "CHECK (status IN ('READY', 'RUNNING', 'SUCCESSFUL', 'FAILED', 'CANCELLED'))"
// The same, for a database that builds an index of the list for each statement: those that a claim and an ending write come first.
const STATUS_CHECK_IN_TURN = "CHECK (status = 'RUNNING' OR status = 'SUCCESSFUL' OR status = 'READY' OR status = 'FAILED' OR status = 'CANCELLED')"
const PRIORITY_CHECK = 'CHECK (priority BETWEEN -100 AND 100)'
const CLAIMABLE_CHECK = "CHECK (NOT claimable OR status = 'READY')"

// Wide columns first and the often-null ones last: PostgreSQL pads for alignment in the order of the columns.
const POSTGRES = {
  tables: (t: Tables) => [
    `CREATE TABLE ${t.results} (
      id uuid PRIMARY KEY,
      seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
      due bigint NOT NULL,
      enqueued_at bigint NOT NULL,
      started_at bigint,
      last_attempted_at bigint,
      finished_at bigint,
      run_after bigint,
      claim bigint,
      attempts int NOT NULL DEFAULT 0,
      prior_attempts int NOT NULL DEFAULT 0,
      deaths smallint NOT NULL DEFAULT 0,
      priority smallint NOT NULL ${PRIORITY_CHECK},
      claimable boolean NOT NULL ${CLAIMABLE_CHECK},
      quarantined boolean NOT NULL DEFAULT false,
      status text NOT NULL ${STATUS_CHECK},
      backend text NOT NULL,
      queue text NOT NULL,
      task text NOT NULL,
      args text NOT NULL,
      worker text,
      return_value text,
      options text,
      errors text,
      worker_ids text,
      progress text,
      parked text,
      failed_at bigint,
      cancel_at bigint,
      unique_key text,
      unique_held boolean,
      unique_ready boolean,
      unique_until bigint,
      unique_ms bigint,
      concurrency_key text,
      concurrency_limit int,
      holds boolean,
      limit_group text,
      waiting text,
      limits text
    )`,
    `CREATE TABLE ${t.workers} (
      id text PRIMARY KEY,
      backend text NOT NULL,
      lease_until bigint NOT NULL,
      lease_ms bigint NOT NULL,
      last_seen bigint NOT NULL,
      started_at bigint NOT NULL,
      running int NOT NULL DEFAULT 0,
      quarantine boolean NOT NULL,
      tasks text NOT NULL
    )`,
    `CREATE TABLE ${t.claims} (worker text NOT NULL, claim bigint NOT NULL, backend text NOT NULL, started int NOT NULL, ids uuid[] NOT NULL, PRIMARY KEY (worker, claim))`,
    `CREATE TABLE ${t.queues} (backend text NOT NULL, name text NOT NULL, paused_at bigint, PRIMARY KEY (backend, name))`,
    `CREATE TABLE ${t.cancels} (worker text NOT NULL, id uuid NOT NULL, PRIMARY KEY (worker, id))`,
    `CREATE TABLE ${t.waits} (id uuid PRIMARY KEY, until bigint NOT NULL)`,
    `CREATE TABLE ${t.tags} (tag text NOT NULL, id uuid NOT NULL, PRIMARY KEY (tag, id))`,
    `CREATE TABLE ${t.limits} (backend text NOT NULL, name text NOT NULL, starts text NOT NULL, until bigint NOT NULL, PRIMARY KEY (backend, name))`,
    // Where rows became ready again behind the cursors of others; short-lived.
    `CREATE TABLE ${t.returned} (backend text NOT NULL, at bigint NOT NULL, queue text NOT NULL, priority smallint NOT NULL, due bigint NOT NULL)`,
    `CREATE TABLE ${t.meta} (name text PRIMARY KEY, value text NOT NULL)`
  ]
}

const SQLITE = {
  tables: (t: Tables) => [
    `CREATE TABLE ${t.results} (
      seq INTEGER PRIMARY KEY,
      id TEXT NOT NULL UNIQUE,
      due INTEGER NOT NULL,
      enqueued_at INTEGER NOT NULL,
      started_at INTEGER,
      last_attempted_at INTEGER,
      finished_at INTEGER,
      run_after INTEGER,
      claim INTEGER,
      attempts INTEGER NOT NULL DEFAULT 0,
      prior_attempts INTEGER NOT NULL DEFAULT 0,
      deaths INTEGER NOT NULL DEFAULT 0,
      priority INTEGER NOT NULL ${PRIORITY_CHECK},
      claimable INTEGER NOT NULL ${CLAIMABLE_CHECK},
      quarantined INTEGER NOT NULL DEFAULT 0,
      status TEXT NOT NULL ${STATUS_CHECK_IN_TURN},
      backend TEXT NOT NULL,
      queue TEXT NOT NULL,
      task TEXT NOT NULL,
      args TEXT NOT NULL,
      worker TEXT,
      return_value TEXT,
      options TEXT,
      errors TEXT,
      worker_ids TEXT,
      progress TEXT,
      parked TEXT,
      failed_at INTEGER,
      cancel_at INTEGER,
      unique_key TEXT,
      unique_held INTEGER,
      unique_ready INTEGER,
      unique_until INTEGER,
      unique_ms INTEGER,
      concurrency_key TEXT,
      concurrency_limit INTEGER,
      holds INTEGER,
      limit_group TEXT,
      waiting TEXT,
      limits TEXT
    )`,
    `CREATE TABLE ${t.workers} (
      id TEXT PRIMARY KEY,
      backend TEXT NOT NULL,
      lease_until INTEGER NOT NULL,
      lease_ms INTEGER NOT NULL,
      last_seen INTEGER NOT NULL,
      started_at INTEGER NOT NULL,
      running INTEGER NOT NULL DEFAULT 0,
      quarantine INTEGER NOT NULL,
      tasks TEXT NOT NULL
    ) WITHOUT ROWID`,
    `CREATE TABLE ${t.claims} (worker TEXT NOT NULL, claim INTEGER NOT NULL, backend TEXT NOT NULL, started INTEGER NOT NULL, ids TEXT NOT NULL, PRIMARY KEY (worker, claim)) WITHOUT ROWID`,
    `CREATE TABLE ${t.queues} (backend TEXT NOT NULL, name TEXT NOT NULL, paused_at INTEGER, PRIMARY KEY (backend, name)) WITHOUT ROWID`,
    `CREATE TABLE ${t.cancels} (worker TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (worker, id)) WITHOUT ROWID`,
    `CREATE TABLE ${t.waits} (id TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID`,
    `CREATE TABLE ${t.tags} (tag TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tag, id)) WITHOUT ROWID`,
    `CREATE TABLE ${t.limits} (backend TEXT NOT NULL, name TEXT NOT NULL, starts TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (backend, name)) WITHOUT ROWID`,
    `CREATE TABLE ${t.meta} (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`
  ]
}
