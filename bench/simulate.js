import { parseArgs } from 'node:util'
import { markdownTable, simulate } from './simulation/simulation.js'

// What one PostgreSQL would carry: a simulation, from what the measures say that a task costs. See --help.

const HELP = `usage: node bench/simulate.js [flags]

  --cores 2,4,8,16     cores of the database server
  --workers 1,2,4,8,16 worker processes, each with a core of its own
  --databases 1        the same tasks spread over so many servers: aliases, queues apart, or shards
  --claim 18           µs of server CPU to claim a task       (drain, pg_stat_statements)
  --finish 12          µs to write its ending                 (drain)
  --insert 12          µs to store it                         (bulk)
  --js 21              µs of a worker's CPU a task            (drain, CPU of the worker)
  --statement 150      µs of server CPU a statement costs whatever it carries
  --rtt 0.5            ms from a worker to the server and back
  --fsync 0.5          ms until a commit is on the disk
  --seconds 5          simulated time
`

const { values } = parseArgs({
  options: Object.fromEntries([
    ...['cores', 'workers', 'databases', 'claim', 'finish', 'insert', 'js', 'statement', 'rtt', 'fsync', 'seconds'].map((name) => [name, { type: 'string' }]),
    ['help', { type: 'boolean' }]
  ])
})
if (values.help) {
  process.stdout.write(HELP)
} else {
  const number = (name, otherwise) => Number(values[name] ?? otherwise)
  const list = (name, otherwise) => (values[name] ?? otherwise).split(',').map(Number)
  const costs = { claim: number('claim', 18), finish: number('finish', 12), insert: number('insert', 12), js: number('js', 21), statement: number('statement', 150), rttMs: number('rtt', 0.5), fsyncMs: number('fsync', 0.5) }
  const databases = number('databases', 1)
  const workers = list('workers', '1,2,4,8,16')
  const rows = list('cores', '2,4,8,16').map((cores) => [cores, workers.map((count) => simulate({ ...costs, cores, workers: count, databases, seconds: number('seconds', 5) }))])
  process.stdout.write(markdownTable(workers, rows))
}
