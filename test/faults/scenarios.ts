import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Happening } from './checker.ts'
import { monotonic } from './ledger.ts'
import type { StopMode } from './postgres-server.ts'
import type { Site } from './site.ts'
import type { World } from './world.ts'

type Random = () => number

/** One way to be hurt; it resolves when the hurt is over. */
export type Blow = (world: World, random: Random) => Promise<void>

export interface Scenario {
  readonly name: string
  readonly databases: ReadonlyArray<'sqlite' | 'postgres'>
  /** With how much weight each is drawn. */
  readonly blows: ReadonlyArray<readonly [weight: number, blow: Blow]>
  /** Mean milliseconds between the end of one blow and the next. */
  readonly restMs: number
  /** What has to have happened, or the run shows nothing. */
  readonly must: readonly Happening[]
  readonly mustNot?: readonly Happening[]
  readonly leaseMs?: number
  readonly graceMs?: number
  /** Mean milliseconds between two requests, 50 unless said otherwise. */
  readonly pauseMs?: number
  /** What the workers get to end what is left. */
  readonly drainMs?: number
  /** Supervisors, 2 unless said otherwise. */
  readonly workers?: number
  /** Dates are wrong by hours, and jump. */
  readonly clocks?: boolean
  /** Defaults of the database's sessions (PostgreSQL). */
  readonly settings?: Readonly<Record<string, string>>
  /** On a disk that can be filled. */
  readonly smallDisk?: boolean
  /** With a replica that takes over (PostgreSQL, with the programs of an installation). */
  readonly replica?: boolean
}

const killChild: Blow = async (world, random) => { world.kill(pick((await world.busy(which(random))).slice(1), random)) }
const killSupervisor: Blow = async (world, random) => { world.kill((await world.busy(which(random))).slice(0, 1)) }
const killGroup: Blow = async (world, random) => { world.kill(await world.busy(which(random))) }
const killEnqueuer: Blow = async (world) => { world.kill(await world.pids('enqueuer')) }
const killEverybody: Blow = async (world) => { world.kill([...await world.busy(0), ...await world.pids('worker', 1), ...await world.pids('enqueuer')]) }

const pauseGroup: Blow = async (world, random) => { await world.pause(await world.busy(which(random)), world.settings.leaseMs * (1.4 + random())) }
const pauseChild: Blow = async (world, random) => { await world.pause(pick((await world.busy(which(random))).slice(1), random), world.settings.leaseMs * (0.3 + 2 * random())) }
const pauseShortly: Blow = async (world, random) => { await world.pause(await world.busy(which(random)), world.settings.leaseMs * 0.5 * random()) }

const term: Blow = async (world, random) => { await world.term(which(random), 1, 0) }
const termTwice: Blow = async (world, random) => { await world.term(which(random), 2, 20 + 300 * random()) }

const reset: Blow = async (world) => { world.note('reset'); world.site.proxy?.reset() }
const refuse: Blow = async (world, random) => { world.note('reset'); world.site.proxy?.refuse(); await sleep(200 + 1_500 * random()); world.site.proxy?.heal() }
const blackHole: Blow = async (world, random) => { world.note('black-hole'); world.site.proxy?.blackHole(); await sleep(world.settings.leaseMs * (0.3 + 1.4 * random())); world.site.proxy?.heal() }
const slowDown: Blow = async (world, random) => { world.note('delay'); world.site.proxy?.delay(20 + 180 * random()); await sleep(1_000); world.site.proxy?.heal() }
// A statement's text travels once a connection: mostly it is whatever comes next.
const STATEMENTS = [/[^]/, /[^]/, /[^]/, /INSERT INTO \S*tasks_results/, /WITH done AS/, /COMMIT/i]
const loseReply: Blow = async (world, random) => {
  world.site.proxy?.loseReplyTo(STATEMENTS[Math.floor(random() * STATEMENTS.length)] as RegExp, () => { world.note('reply-lost') })
  await sleep(300)
}

const restart = (mode: StopMode): Blow => async (world, random) => {
  const server = world.site.server
  if (server === null) return
  world.note('restart', { mode })
  await server.stop(mode)
  await sleep(random() < 0.5 ? 0 : 1_500 * random())
  await server.start()
}

const killSession: Blow = async (world) => {
  world.note('restart', { mode: 'session killed' })
  await world.site.server?.killSession('faults').catch(() => {}) // there was none, or it was gone already
}

/** The primary dies; its replica takes over, and is given a replica of its own. */
const failOver: Blow = async (world) => {
  world.note('fail-over')
  await world.site.failOver?.()
}

const terminate: Blow = async (world) => {
  world.note('terminate')
  await ask(world.site, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'faults' AND pid <> pg_backend_pid()")
}
const cancelStatements: Blow = async (world) => {
  world.note('terminate')
  for (let count = 0; count < 20; count++) await ask(world.site, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = 'faults' AND state = 'active' AND pid <> pg_backend_pid()")
}
const lockTables = (table: string): Blow => async (world, random) => {
  world.note('lock', { table })
  const milliseconds = Math.round(world.settings.leaseMs * (0.2 + 1.3 * random()))
  await ask(world.site, 'SET statement_timeout = 0', 'SET lock_timeout = 0', 'BEGIN', `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`, `SELECT pg_sleep(${milliseconds / 1000})`, 'ROLLBACK')
}
const readOnly: Blow = async (world, random) => {
  world.note('read-only')
  await ask(world.site, 'ALTER DATABASE faults SET default_transaction_read_only = on')
  await terminate(world, random)
  await sleep(1_000 * random())
  await ask(world.site, 'SET default_transaction_read_only = off', 'ALTER DATABASE faults RESET default_transaction_read_only')
  await terminate(world, random)
}

/** Every session of the server at once, those that are open too: what a replica's clients see while it is promoted. */
const readOnlyServer: Blow = async (world, random) => {
  world.note('read-only')
  await ask(world.site, 'ALTER SYSTEM SET default_transaction_read_only = on', 'SELECT pg_reload_conf()')
  await sleep(1_000 * random())
  await ask(world.site, 'SET default_transaction_read_only = off', 'ALTER SYSTEM RESET default_transaction_read_only', 'SELECT pg_reload_conf()')
}

const FULL_TRIES = 20
const fillDisk: Blow = async (world, random) => {
  const { disk } = world.site
  if (disk === null) return
  await disk.fill()
  const since = monotonic()
  world.note('disk-full')
  await sleep(500 + 1_500 * random())
  // SQLite may write its log anew in the room that it has, and a busy machine may ask for nothing meanwhile.
  for (let tries = 0; tries < FULL_TRIES && !await world.has('refused-enqueue', since); tries++) {
    await disk.fill()
    await sleep(500)
  }
  await disk.empty()
  await world.site.server?.start() // one whose log finds no room ends itself
}

const HOUR = 3_600_000
const OFFSETS = [HOUR, -HOUR, 0, 2 * HOUR, -90_000, 90_000] as const
const jump: Blow = async (world, random) => {
  const { hosts } = world
  await world.setDate(hosts[Math.floor(random() * hosts.length)] as string, OFFSETS[Math.floor(random() * OFFSETS.length)] as number)
}
/** Ahead of all that was said to be deferred. */
export const LATEST = 3 * HOUR

const BOTH = ['sqlite', 'postgres'] as const
const DEATHS: Scenario['blows'] = [[4, killChild], [1, killSupervisor], [2, killGroup], [1, killEnqueuer], [1, killEverybody]]
const PAUSES: Scenario['blows'] = [[3, pauseGroup], [1, pauseChild], [1, pauseShortly]]
const NETWORK: Scenario['blows'] = [[2, reset], [1, refuse], [2, blackHole], [1, slowDown], [4, loseReply]]
const SERVER: Scenario['blows'] = [[1, killSession], [1, restart('kill')], [1, restart('smart')], [1, restart('fast')], [1, restart('immediate')]]
const SESSIONS: Scenario['blows'] = [[2, terminate], [2, cancelStatements], [1, lockTables('tasks_results')], [1, lockTables('tasks_workers')], [1, lockTables('tasks_claims')], [1, readOnly], [1, readOnlyServer]]

/** THE list of scenarios: each of these runs by `npm run test:faults`. */
export const SCENARIOS: readonly Scenario[] = [
  { name: 'deaths', databases: BOTH, blows: DEATHS, restMs: 700, must: ['kill', 'death charged', 'lease expired', 'second start'] },
  { name: 'pauses', databases: BOTH, blows: PAUSES, restMs: 600, must: ['pause', 'lease expired', 'stale write refused', 'second start'] },
  { name: 'stops', databases: BOTH, blows: [[2, term], [1, termTwice]], restMs: 1_200, leaseMs: 8_000, graceMs: 200, must: ['term', 'handed back'], mustNot: ['death charged', 'stale write refused'] },
  { name: 'clocks', databases: BOTH, blows: [[6, jump], [2, killGroup], [1, pauseGroup], [1, killEnqueuer]], restMs: 500, clocks: true, must: ['skew', 'kill', 'deferred'] },
  { name: 'network', databases: ['postgres'], blows: NETWORK, restMs: 400, must: ['reply lost', 'black hole', 'reset', 'lease expired', 'second start'] },
  { name: 'restarts', databases: ['postgres'], blows: SERVER, restMs: 900, must: ['restart', 'second start'] },
  { name: 'sessions', databases: ['postgres'], blows: SESSIONS, restMs: 500, must: ['session ended', 'lock'], settings: { default_transaction_isolation: 'serializable', statement_timeout: '2s', lock_timeout: '300ms', idle_in_transaction_session_timeout: '1s' } },
  { name: 'disk', databases: BOTH, blows: [[3, fillDisk], [1, killChild]], restMs: 900, smallDisk: true, must: ['disk full', 'enqueue refused'] },
  { name: 'fail-over', databases: ['postgres'], blows: [[1, failOver], [1, readOnlyServer]], restMs: 2_500, replica: true, must: ['fail-over', 'read-only', 'second start'] }
]

const killAnybody: Blow = async (world, random) => {
  const groups = await Promise.all([0, 1, 2].map(async (index) => await world.pids('worker', index)))
  const [workers, supervisors] = [groups.flatMap((group) => group.slice(1)), groups.flatMap((group) => group.slice(0, 1))]
  const draw = random()
  // Mostly those that have got to work: killed faster than they boot, nobody would.
  const working = await world.working(workers)
  world.kill(draw < 0.7 && working.length > 0 ? pick(working, random) : draw < 0.8 ? pick(workers, random) : draw < 0.9 ? pick(supervisors, random) : await world.pids('enqueuer'))
}

/** For hours, and only where they are named. */
export const LONG: readonly Scenario[] = [
  { name: 'kills', databases: BOTH, blows: [[1, killAnybody]], restMs: 600, workers: 3, pauseMs: 400, drainMs: 600_000, must: ['kill', 'death charged', 'second start'], mustNot: ['enqueue refused'] }
]

/** All of it at once, for the long run. */
export const EVERYTHING: Readonly<Record<'sqlite' | 'postgres', Scenario>> = {
  sqlite: { name: 'everything', databases: ['sqlite'], blows: [...DEATHS, ...PAUSES, [4, jump]], restMs: 400, clocks: true, must: ['kill', 'pause', 'lease expired', 'death charged', 'stale write refused', 'second start', 'skew'] },
  postgres: { name: 'everything', databases: ['postgres'], blows: [...DEATHS, ...PAUSES, ...NETWORK, ...SERVER, ...SESSIONS, [4, jump]], restMs: 300, clocks: true, must: ['kill', 'pause', 'lease expired', 'death charged', 'stale write refused', 'reply lost', 'restart', 'second start', 'skew'] }
}

function which (random: Random): number {
  return Math.floor(random() * 2)
}

function pick (pids: readonly number[], random: Random): number[] {
  const pid = pids[Math.floor(random() * pids.length)]
  return pid === undefined ? [] : [pid]
}

/** Statements past the proxy, whatever the server does meanwhile. */
async function ask ({ direct }: Site, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: direct })
  client.on('error', () => {})
  try {
    await client.connect()
    for (const statement of statements) await client.query(statement)
  } catch {
    // What it was to hurt is gone.
  } finally {
    await client.end().catch(() => {})
  }
}
