// node --import=tsx test/faults/run.ts --database sqlite|postgres --seed N --seconds S [--scenario NAME] [--keep]
import { parseArgs } from 'node:util'
import { describe, runScenario } from './run-scenario.ts'
import { EVERYTHING, SCENARIOS } from './scenarios.ts'

const { values } = parseArgs({
  options: {
    database: { type: 'string', default: 'sqlite' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    seconds: { type: 'string', default: '60' },
    scenario: { type: 'string', multiple: true },
    keep: { type: 'boolean', default: false }
  }
})
const { database, keep } = values
if (database !== 'sqlite' && database !== 'postgres') throw new Error('--database must be sqlite or postgres')
const seed = Number(values.seed)
const seconds = Number(values.seconds)
if (!Number.isSafeInteger(seed) || !(seconds > 0)) throw new Error('--seed must be a whole number and --seconds a positive one')
const known = [...SCENARIOS.filter(({ databases }) => databases.includes(database)), EVERYTHING[database]]
const unknown = (values.scenario ?? []).filter((name) => !known.some((scenario) => scenario.name === name))
if (unknown.length > 0) throw new Error(`--scenario must be one of ${known.map(({ name }) => name).join(', ')}`)
const chosen = known.filter(({ name }) => values.scenario?.includes(name) ?? true)

console.log(`seed ${seed}, ${seconds} s for each of ${chosen.map(({ name }) => name).join(', ')} on ${database}`)
for (const scenario of chosen) {
  const report = await runScenario(scenario, { database, seed, seconds, keep })
  console.log(describe(`${scenario.name} on ${database}`, report))
  if (keep) console.log(`  ledgers in ${report.folder}`)
  if (report.failures.length > 0) process.exitCode = 1
}
