// node --import=tsx test/faults/run.ts --database sqlite|postgres --seed N --seconds S [--scenario NAME] [--kills N] [--pooler] [--keep]
import { parseArgs } from 'node:util'
import { measureRecovery } from './recovery.ts'
import { describe, runScenario } from './run-scenario.ts'
import { EVERYTHING, LONG, SCENARIOS } from './scenarios.ts'

const { values } = parseArgs({
  options: {
    database: { type: 'string', default: 'sqlite' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    seconds: { type: 'string', default: '60' },
    kills: { type: 'string' },
    scenario: { type: 'string', multiple: true },
    pooler: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false }
  }
})
const { database, keep, pooler } = values
if (database !== 'sqlite' && database !== 'postgres') throw new Error('--database must be sqlite or postgres')
const seed = Number(values.seed)
const seconds = Number(values.seconds)
const kills = values.kills === undefined ? null : Number(values.kills)
if (!Number.isSafeInteger(seed) || !(seconds > 0)) throw new Error('--seed must be a whole number and --seconds a positive one')
if (kills !== null && !(Number.isSafeInteger(kills) && kills > 0)) throw new Error('--kills must be a whole number above 0')
// Not of blows by lot, but one kill after the other: how long until what it cut off runs again.
const RECOVERY = 'recovery'
const usual = [...SCENARIOS, EVERYTHING[database]].filter(({ databases, replica }) => databases.includes(database) && !(pooler && replica === true)) // it leads to one server
const known = [...usual, ...LONG.filter(({ databases }) => databases.includes(database))]
const names = [...known.map(({ name }) => name), RECOVERY]
const unknown = (values.scenario ?? []).filter((name) => !names.includes(name))
if (unknown.length > 0) throw new Error(`--scenario must be one of ${names.join(', ')}`)
if (pooler && database !== 'postgres') throw new Error('--pooler is for --database postgres')
const chosen = values.scenario === undefined ? usual : known.filter(({ name }) => values.scenario?.includes(name))

if (chosen.length > 0) console.log(`seed ${seed}, ${kills === null ? `${seconds} s` : `${kills} kills`} for each of ${chosen.map(({ name }) => name).join(', ')} on ${database}${pooler ? ' behind PgBouncer' : ''}`)
for (const scenario of chosen) {
  const report = await runScenario(scenario, { database, seed, seconds, keep, pooler, ...(kills !== null && { kills }) })
  console.log(describe(`${scenario.name} on ${database}`, report))
  if (keep) console.log(`  ledgers in ${report.folder}`)
  if (report.failures.length > 0) process.exitCode = 1
}
if (values.scenario?.includes(RECOVERY) === true) {
  const { text, late } = await measureRecovery({ database, seed, kills: kills ?? 30 })
  console.log(text)
  if (late > 0) process.exitCode = 1
}
