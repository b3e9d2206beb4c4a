import t from 'tap'
import { describe, runScenario } from './run-scenario.ts'
import { SCENARIOS } from './scenarios.ts'

const only = process.env['TASKS_TEST_ONLY']

/** A short run of chosen scenarios with fixed seeds. The long form is run.ts. */
export function smoke (database: 'sqlite' | 'postgres', chosen: ReadonlyArray<readonly [scenario: string, seed: number, seconds: number]>): void {
  if (only !== undefined && only !== database) {
    t.pass(`TASKS_TEST_ONLY=${only} leaves this out`)
    return
  }
  t.setTimeout(900_000) // on a busy machine a process takes seconds to boot
  for (const [name, seed, seconds] of chosen) {
    const scenario = SCENARIOS.find((scenario) => scenario.name === name && scenario.databases.includes(database))
    if (scenario === undefined) throw new Error(`There is no scenario ${name} on ${database}`)
    t.test(`${name}: nothing is lost, doubled, overlapping, early or stuck`, { timeout: 290_000, buffered: true }, async (t) => {
      const report = await runScenario(scenario, { database, seed, seconds })
      t.comment(describe(name, report))
      t.same(report.failures, [])
    })
  }
}
