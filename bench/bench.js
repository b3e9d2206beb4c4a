import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Stage } from './measures/stage.js'
import { HELP, optionsOf } from './options.js'
import { machine, versions } from './report/machine.js'
import { markdown, table } from './report/markdown.js'
import { svg } from './report/plot.js'
import { summary } from './report/statistics.js'
import { Places } from './servers/places.js'

// One command for all measures and contestants, or for a part: see --help.

let options
try {
  options = optionsOf(process.argv.slice(2))
} catch (error) {
  console.error(`${error.message}\n\n${HELP}`)
  process.exit(2)
}
if (options.help) {
  process.stdout.write(HELP)
  process.exit(0)
}

const places = new Places(options.postgres)
const contestants = options.contestants.filter(({ name, database }) => {
  const lack = places.lacks(database)
  if (lack !== null) console.error(`${name} is left out: ${lack}.`)
  return lack === null
})
if (contestants.length === 0) process.exitCode = 1
const report = { machine: machine(), rounds: options.rounds, sizes: options.sizes, contestants, measures: [] }
let interrupted = false
process.on('SIGINT', () => { interrupted = true; process.exitCode = 130 }) // the round ends, then all is put away
process.on('SIGTERM', () => { interrupted = true; process.exitCode = 143 })

try {
  for (const measure of options.measures) {
    if (interrupted) break
    const result = await measured(measure)
    if (result.rows.length === 0) continue
    report.measures.push(result)
    console.log(`\n${table(result)}`)
  }
  report.versions = { databases: await places.versions(), libraries: await versions(contestants) }
  if (!options.smoke) await write(report)
} finally {
  await places.close()
}
const failed = report.measures.flatMap(({ name, rows }) => rows.filter(({ error }) => error !== undefined).map(({ contestant, error }) => `${name}, ${contestant}: ${error}`))
for (const line of failed) console.error(`failed: ${line}`)
if (failed.length > 0) process.exitCode = 1

/**
 * All rounds of one measure: each round takes the contestants in turn, so that a noisy minute hits all alike, and begins with
 * another one, because the first is at a disadvantage (a tenth, seen in drains).
 */
async function measured (measure) {
  const takers = contestants.filter((contestant) => measure.takes(contestant))
  const rows = takers.map((contestant) => ({ contestant: contestant.name, rounds: [] }))
  for (let round = 0; round < options.rounds; round++) {
    const first = Math.floor(round * takers.length / options.rounds)
    const queue = [...takers.entries()]
    queue.push(...queue.splice(0, first))
    await Promise.all(Array.from({ length: options.atOnce }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await attempt(measure, next[1], rows[next[0]], round)
    }))
  }
  for (const row of rows) {
    row.values = Object.fromEntries(Object.keys(measure.figures).map((name) => [name, summary(row.rounds.map((figures) => figures[name]))]))
    row.series = row.rounds.at(-1)?.series
    row.points = row.rounds.at(-1)?.points
  }
  return { name: measure.name, title: measure.title(options.sizes), figures: measure.figures, series: measure.series, plot: measure.plot, rows }
}

async function attempt (measure, contestant, row, round) {
  if (interrupted || row.error !== undefined) return
  try {
    const figures = await once(measure, contestant)
    row.rounds.push(figures)
    console.error(`${measure.name} ${round + 1}/${options.rounds} ${contestant.name}: ${printed(measure, figures)}`)
  } catch (error) {
    row.error = error.message
  }
}

async function once (measure, contestant) {
  const stage = await Stage.open(places, contestant)
  try {
    return await measure.run(stage, contestant, options.sizes, places)
  } finally {
    await stage.close()
  }
}

function printed ({ figures }, values) {
  return Object.keys(figures).map((name) => `${name} ${typeof values[name] === 'number' ? Number(values[name].toPrecision(4)) : '–'}`).join(', ')
}

async function write (report) {
  const folder = options.out ?? fileURLToPath(new URL(`results/${report.machine.date.slice(0, 19).replaceAll(':', '')}/`, import.meta.url))
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'results.json'), `${JSON.stringify(report, null, 2)}\n`)
  await writeFile(join(folder, 'results.md'), markdown(report))
  for (const { name, plot, rows } of report.measures) {
    const lines = rows.filter(({ points }) => points?.length > 0).map(({ contestant, points }) => ({ name: contestant, points }))
    if (plot !== undefined && lines.length > 0) await writeFile(join(folder, `${name}.svg`), svg({ ...plot, lines }))
  }
  console.log(`\n${join(folder, 'results.md')}`)
}
