import { parseArgs } from 'node:util'
import { chosen } from './contestants.js'
import { chosenMeasures, measures } from './measures/measures.js'
import { FULL, SMOKE } from './measures/sizes.js'

const SMOKE_AT_ONCE = 4 // contestants: nobody reads the figures

export const HELP = `usage: npm run bench -- [measure …] [flags]

measures: ${measures.map(({ name }) => name).join(', ')}; all unless some are named

  --only a,b        contestants by name or family (ours, graphile, pg-boss, bullmq, plainjob, bare); all
  --rounds N        rounds in turn, of which medians are printed; 3
  --tasks N         tasks that are drained and enqueued in bulk; ${FULL.tasks}
  --batch N         rows of one bulk enqueue; each contestant's own
  --flowing N       tasks that flow while a snapshot is held; ${FULL.flowing}
  --backlog N       the large backlog; ${FULL.backlog}
  --memory N        tasks that are drained while memory is looked at; ${FULL.memory}
  --seconds N       for callers and routes; ${FULL.durationMs / 1_000}
  --limit N         seconds after which a slow drain is measured on what it did; ${FULL.limitMs / 1_000}
  --postgres URL    a PostgreSQL to use, instead of one of the bench's own
  --also FOLDER     another checkout of this repository, built: ours is measured from there as well
  --out FOLDER      where results.json and results.md are written; bench/results/<date>
  --smoke           everything once and small: says only that it runs
  --help
`

/** What the command line asks for. */
export function optionsOf (argv) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      only: { type: 'string', default: '' },
      rounds: { type: 'string' },
      tasks: { type: 'string' },
      batch: { type: 'string' },
      flowing: { type: 'string' },
      backlog: { type: 'string' },
      memory: { type: 'string' },
      seconds: { type: 'string' },
      limit: { type: 'string' },
      postgres: { type: 'string' },
      also: { type: 'string' },
      out: { type: 'string' },
      smoke: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false }
    }
  })
  const given = {
    tasks: count(values, 'tasks'),
    batch: count(values, 'batch'),
    flowing: count(values, 'flowing'),
    backlog: count(values, 'backlog'),
    memory: count(values, 'memory'),
    durationMs: count(values, 'seconds', 1_000),
    limitMs: count(values, 'limit', 1_000)
  }
  return {
    help: values.help,
    smoke: values.smoke,
    atOnce: values.smoke ? SMOKE_AT_ONCE : 1,
    measures: chosenMeasures(positionals),
    contestants: chosen({ only: values.only.split(',').filter((word) => word !== ''), short: values.smoke, also: values.also }),
    rounds: count(values, 'rounds') ?? (values.smoke ? 1 : 3),
    sizes: { ...(values.smoke ? SMOKE : FULL), ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) },
    postgres: values.postgres,
    out: values.out
  }
}

function count (values, name, factor = 1) {
  if (values[name] === undefined) return undefined
  const number = Number(values[name])
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${name} must be a whole number from 1`)
  return number * factor
}
