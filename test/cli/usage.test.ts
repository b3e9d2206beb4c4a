import t from 'tap'
import { main } from '#lib/cli/main.js'
import { COMMANDS } from '#lib/cli/commands.js'
import { packageVersion } from '#lib/cli/version.js'
import { WORKER_OPTIONS } from '#lib/worker/options.js'

interface Run { code: number, stdout: string, stderr: string }

async function run (argv: string[], env: Record<string, string> = {}): Promise<Run> {
  const out: Run = { code: -1, stdout: '', stderr: '' }
  out.code = await main(argv, {
    stdout: (text) => { out.stdout += text },
    stderr: (text) => { out.stderr += text },
    env
  })
  return out
}

const missing = ['--database-url', 'sqlite:/nowhere/tasks.sqlite3']

t.test('help is printed to stdout and ends with 0', async (t) => {
  for (const argv of [['--help'], ['-h'], ['help']]) {
    const { code, stdout, stderr } = await run(argv)
    t.equal(code, 0)
    t.equal(stderr, '')
    for (const { name } of COMMANDS) t.match(stdout, new RegExp(`^ {2}${name} `, 'm'))
  }
})

t.test('every command has help of its own that names each of its flags', async (t) => {
  for (const { name, flags } of COMMANDS) {
    for (const argv of [[name, '--help'], [name, '-h'], ['help', name]]) {
      const { code, stdout, stderr } = await run(argv)
      t.equal(code, 0, argv.join(' '))
      t.equal(stderr, '')
      t.match(stdout, new RegExp(`^Usage: fastify-tasks ${name}`))
      for (const flag of Object.keys(flags)) t.ok(stdout.includes(`--${flag}`), `${name} --${flag}`)
      t.ok(stdout.split('\n').every((line) => line.length <= 100), `the lines of ${name} fit 100 columns`)
    }
  }
})

t.test('help wins over what is missing', async (t) => {
  t.equal((await run(['show', '--help'])).code, 0)
  t.equal((await run(['worker', '-h', '--lease', '5s'])).code, 0)
})

t.test('the version is that of the package', async (t) => {
  for (const flag of ['--version', '-v']) t.strictSame(await run([flag]), { code: 0, stdout: `${packageVersion()}\n`, stderr: '' })
})

t.test('the worker has every flag of the table of worker options', async (t) => {
  const { stdout } = await run(['worker', '--help'])
  for (const { flag } of WORKER_OPTIONS) t.ok(stdout.includes(`--${flag}`), flag)
})

t.test('a command line that is wrong ends with 2, says why on stderr, and prints nothing on stdout', async (t) => {
  const cases: Array<[string[], RegExp]> = [
    [[], /a command is missing/],
    [['frobnicate'], /no command 'frobnicate'/],
    [['--json'], /no command '--json'/],
    [['__proto__'], /no command/],
    [['help', 'frobnicate'], /no command 'frobnicate'/],
    [['list', '--colour'], /--colour/],
    [['list', 'extra'], /one argument too many: 'extra'/],
    [['list', '--json=yes'], /--json/],
    [['show'], /ID is missing/],
    [['cancel'], /ID is missing/],
    [['retry'], /ID is missing/],
    [['pause'], /QUEUE is missing/],
    [['show', 'a', 'b'], /one argument too many: 'b'/],
    [['worker'], /FILE is missing/],
    [['worker', './app.js', './other.js'], /one argument too many/],
    [['worker', './app.js', '--concurrency', 'many'], /--concurrency/],
    [['worker', './app.js', '--lease', '1s', '--max-block', '2s'], /--max-block/],
    [['worker', './app.js', '--frob'], /--frob/],
    [['list', '--database-url', 'mysql://host/db'], /--database-url/],
    [['list', '--database-url', ''], /--database-url/],
    [['list', '--database-url', 'sqlite::memory:'], /memory/],
    [['list', ...missing, '--backend', 'a b'], /--backend/],
    [['list', ...missing, '--enqueued-after', 'yesterday'], /--enqueued-after/],
    [['list', ...missing, '--finished-before', '2026-11-20T08:00'], /--finished-before/],
    [['list', ...missing, '--table-prefix', 'x; DROP TABLE y'], /prefix/i],
    [['list', ...missing, '--schema', 'a.b'], /schema/i]
  ]
  for (const [argv, reason] of cases) {
    const { code, stdout, stderr } = await run(argv)
    t.equal(code, 2, argv.join(' '))
    t.equal(stdout, '', argv.join(' '))
    t.match(stderr, reason)
    t.match(stderr, /Usage: fastify-tasks/)
    t.notMatch(stderr, /\n {4}at /, 'no stack')
  }
})

t.test('what cannot be done ends with 1 and one line on stderr', async (t) => {
  const cases: Array<[string[], Record<string, string>, RegExp]> = [
    [['list', ...missing], {}, /no database file \/nowhere\/tasks\.sqlite3/],
    [['worker', './no-such-app.js'], {}, /no file .*no-such-app\.js/],
    [['list'], { TASKS_BACKEND: 'immediate' }, /stores nothing/],
    [['list'], { TASKS_BACKENDS: '{' }, /TASKS_BACKENDS/],
    [['list'], { TASKS_BACKENDS: '[]' }, /TASKS_BACKENDS/],
    [['list'], { TASKS_BACKENDS: '{"default":{"backend":"database","url":7}}' }, /default\.url/],
    [['list', '--backend', 'reports'], { TASKS_BACKENDS: '{"default":{"backend":"database","url":"sqlite:x"}}' }, /no backend 'reports'/],
    [['list'], { TASKS_DATABASE_URL: 'oracle://scott:tiger@host/db' }, /TASKS_DATABASE_URL/],
    [['migrate', '--database-url', 'sqlite:/nowhere/tasks.sqlite3'], {}, /FST_TASKS_STORE_UNAVAILABLE/]
  ]
  for (const [argv, env, reason] of cases) {
    const { code, stdout, stderr } = await run(argv, env)
    t.equal(code, 1, argv.join(' '))
    t.equal(stdout, '')
    t.match(stderr, reason)
    t.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    t.notMatch(stderr, /tiger/)
  }
})

t.test('no password reaches the terminal, whoever is at fault', async (t) => {
  const url = 'postgres://user:hunter2@127.0.0.1:1/db'
  const lines = [['stats', '--database-url', url], ['migrate', '--database-url', url], ['list', '--database-url', `x${url}`], ['doctor', '--database-url', url]]
  // At once, because each tries for a while to reach the server.
  const runs = await Promise.all(lines.map(async (argv) => await run(argv)))
  for (const { code, stdout, stderr } of runs) {
    t.not(code, 0)
    t.notMatch(stdout + stderr, /hunter2/)
  }
  t.match(runs[3], { code: 1, stdout: /database +PROBLEM +.*ECONNREFUSED/ })
})

t.test('a bad value of a flag ends with 2 before anything is asked of the database', async (t) => {
  const cases = [
    ['prune', '--min-age', 'soon'], ['prune', '--failed-min-age', '-1d'], ['prune', '--min-age', ''], ['prune', '--queue-name', 'a,,b'],
    ['list', '--status', 'LOST'], ['list', '--limit', '0'], ['list', '--limit', '1001'], ['list', '--limit', '1.5'], ['list', '--after', 'x'],
    ['list', '--task', 'no spaces'], ['list', '--queue-name', '%'], ['list', '--tag', ''], ['pause', 'no spaces'], ['resume', ''],
    ['list', '--status', 'toString'], ['prune', '--min-age', '200y']
  ]
  for (const argv of cases) {
    const { code, stderr } = await run([...argv, ...missing])
    t.equal(code, 2, `${argv.join(' ')}: ${stderr}`)
  }
})
