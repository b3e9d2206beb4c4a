import { setTimeout as sleep } from 'node:timers/promises'
import { CRASH_BUDGET } from '#lib/core/limits.js'
import { check, type Faults, type Verdict } from './checker.ts'
import { monotonic } from './ledger.ts'
import { randomFrom } from './processes/random.js'
import { openHostClock } from './host-clock.ts'
import { LATEST, type Blow, type Scenario } from './scenarios.ts'
import { openPostgresSite, openReplicatedSite, openSqliteSite } from './site.ts'
import { World } from './world.ts'

export interface RunOptions {
  readonly database: 'sqlite' | 'postgres'
  readonly seed: number
  readonly seconds: number
  /** Keep the ledgers; their folder is in the report. */
  readonly keep?: boolean
  /** Go on until so many processes were killed, however long that takes. */
  readonly kills?: number
  /** Behind PgBouncer (PostgreSQL). */
  readonly pooler?: boolean
}

export interface Report {
  readonly verdict: Verdict
  /** Sentences; empty where all is well. */
  readonly failures: string[]
  readonly blows: number
  /** How long it was hurt. */
  readonly tookMs: number
  readonly drainMs: number
  readonly folder: string
  /** What this host does not permit. */
  readonly skipped: string | null
}

const LEASE_MS = 2_500
const SWEEP_MS = 300
const DRAIN_MS = 120_000
const PATIENCE = 10 // times as long, until what must have happened has

/** Run one scenario: hurt, heal, drain, stop, and judge. */
export async function runScenario (scenario: Scenario, { database, seed, seconds, keep = false, kills = 0, pooler = false }: RunOptions): Promise<Report> {
  const smallDisk = scenario.smallDisk ?? false
  const site = database === 'sqlite'
    ? await openSqliteSite({ smallDisk }) ?? 'this host does not let us mount a small disk'
    : scenario.replica === true ? await openReplicatedSite() : await openPostgresSite({ settings: { ...scenario.settings }, smallDisk, pooler })
  if (typeof site === 'string') return notRun(site)
  const leaseMs = scenario.leaseMs ?? LEASE_MS
  const clock = scenario.clocks === true ? await openHostClock() : null
  if (scenario.clocks === true && clock === null) {
    await site.close()
    return notRun('this host has no C compiler to make clocks with that can be set')
  }
  let world: World | null = null
  try {
    world = await World.open(site, { seed, leaseMs, sweepMs: SWEEP_MS, graceMs: scenario.graceMs ?? 1_000, workers: scenario.workers ?? 2, pauseMs: scenario.pauseMs ?? 50, clock })
    const begun = monotonic()
    const blows = await strike(world, scenario, { seed, seconds, kills })
    const tookMs = monotonic() - begun
    const { left, waitedMs } = await world.drain(scenario.drainMs ?? DRAIN_MS)
    await world.stop()
    const [entries, rows, remains] = [await world.entries(), await site.rows(), await site.remains()]
    const verdict = check({ entries, rows, crashBudget: CRASH_BUDGET, resumeMs: leaseMs, termMs: 3_000, datesJump: clock !== null && database === 'sqlite' })
    const failures = [
      ...failuresOf(verdict.faults),
      ...world.problems,
      ...remains.map((what) => `left behind: ${what}`),
      ...left > 0 ? [`${left} results had not ended ${Math.round(waitedMs)} ms after the last fault`] : [],
      ...scenario.must.filter((happening) => verdict.happened[happening] === 0).map((happening) => `vacuous: no ${happening}`),
      ...(scenario.mustNot ?? []).filter((happening) => verdict.happened[happening] > 0).map((happening) => `${verdict.happened[happening]} × ${happening}`)
    ]
    return { verdict, failures, blows, tookMs, drainMs: waitedMs, folder: world.folder, skipped: null }
  } finally {
    await world?.close()
    if (!keep) await world?.forget()
    await clock?.close()
    await site.close()
  }
}

async function strike (world: World, scenario: Scenario, { seed, seconds, kills }: { seed: number, seconds: number, kills: number }): Promise<number> {
  const random = randomFrom(seed)
  const end = monotonic() + seconds * 1_000
  const patience = end + seconds * PATIENCE * 1_000
  let blows = 0
  while (kills > 0 ? world.kills < kills : monotonic() < end || (monotonic() < patience && await isVacuous(world, scenario))) {
    await sleep(scenario.restMs * (0.5 + random()))
    // Each kind at least once, in the order of the list; then by lot.
    const blow = scenario.blows[blows]?.[1] ?? draw(scenario, random)
    await blow(world, random)
    blows += 1
  }
  world.site.proxy?.heal()
  if (scenario.clocks === true) for (const host of world.hosts) await world.setDate(host, LATEST)
  return blows
}

function notRun (why: string): Report {
  return { verdict: check({ entries: [], rows: [], crashBudget: CRASH_BUDGET, resumeMs: 0, termMs: 0 }), failures: [], blows: 0, tookMs: 0, drainMs: 0, folder: '', skipped: why }
}

/** On a slow machine faults take longer to bite. */
async function isVacuous (world: World, { must }: Scenario): Promise<boolean> {
  const { happened } = check({ entries: await world.entries(), rows: [], crashBudget: CRASH_BUDGET, resumeMs: 0, termMs: 0 })
  return must.some((happening) => happened[happening] === 0)
}

function draw ({ blows }: Scenario, random: () => number): Blow {
  const total = blows.reduce((sum, [weight]) => sum + weight, 0)
  let rest = random() * total
  for (const [weight, blow] of blows) {
    rest -= weight
    if (rest < 0) return blow
  }
  return (blows[0] as (typeof blows)[number])[1]
}

function failuresOf (faults: Faults): string[] {
  return Object.entries(faults).flatMap(([name, found]: [string, string[]]) => found.length === 0 ? [] : [`${name}: ${found.length}: ${found.slice(0, 5).join('; ')}`])
}

/** A report for people, one line a fact. */
export function describe (name: string, report: Report): string {
  if (report.skipped !== null) return `${name}: not run: ${report.skipped}`
  const { verdict: { happened, recoveries, sizes, faults }, failures, blows, tookMs, drainMs } = report
  const at = (share: number): string => recoveries.length === 0 ? '–' : `${Math.round(recoveries[Math.min(recoveries.length - 1, Math.floor(recoveries.length * share))] as number)}`
  return [
    `${name}: ${failures.length === 0 ? 'passed' : 'FAILED'}: ${blows} faults in ${Math.round(tookMs / 1_000)} s; ${sizes.asked} asked, ${sizes.accepted} accepted, ${sizes.rows} rows, ${sizes.starts} starts; drained in ${Math.round(drainMs)} ms`,
    `  ${Object.entries(faults).map(([what, found]: [string, string[]]) => `${what} ${found.length}`).join(', ')}`,
    `  happened: ${Object.entries(happened).filter(([, count]) => count > 0).map(([what, count]) => `${what} ${count}`).join(', ')}`,
    // Where workers are killed faster than they boot, that is what is measured; recovery.ts is for the bound.
    `  from a kill to the next start, ms: ${recoveries.length} attempts, p50 ${at(0.5)}, p99 ${at(0.99)}, max ${at(1)}`,
    ...failures.map((failure) => `  ✗ ${failure}`)
  ].join('\n')
}
