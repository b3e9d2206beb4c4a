import t from 'tap'
import { checkWorkerOptions, resolveWorkerOptions, workerOptionsFromEnv, workerOptionsFromFlags, WORKER_OPTIONS } from '#lib/worker/options.js'

const invalid = (message: RegExp): { code: string, message: RegExp } => ({ code: 'FST_TASKS_INVALID_OPTION', message })

t.test('every option has one flag and one variable, made from its name', async (t) => {
  for (const { name, flag, env } of WORKER_OPTIONS) {
    t.match(flag.replace(/^no-/, '').replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase()), name)
    t.equal(env, `TASKS_WORKER_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`)
  }
  t.same(Object.keys(checkWorkerOptions({})).sort(), WORKER_OPTIONS.map(({ name }) => name).sort())
})

t.test('defaults are those of the contract', async (t) => {
  t.same(checkWorkerOptions({}), {
    queueName: null,
    excludeQueues: [],
    backend: 'default',
    concurrency: 10,
    processes: 1,
    interval: 1_000,
    batch: false,
    maxTasks: null,
    maxMemory: null,
    workerId: null,
    maxBlock: 20_000,
    startupDelay: 0,
    shutdownGrace: 30_000,
    lease: 30_000,
    sweep: 5_000,
    listen: true
  })
  t.equal(checkWorkerOptions({ lease: '9s' }).maxBlock, 6_000, 'two thirds of the lease that was asked for')
})

t.test('flags, variables and options in code say the same', async (t) => {
  const code = { queueName: ['a', 'b'], excludeQueues: ['c'], concurrency: 3, interval: '250ms', batch: true, maxTasks: 7, workerId: 'mail.1', listen: false }
  const expected = checkWorkerOptions(code)
  const { options, help } = workerOptionsFromFlags(['--queue-name', 'a,b', '--exclude-queues=c', '--concurrency', '3', '--interval', '250', '--batch', '--max-tasks=7', '--worker-id', 'mail.1', '--no-listen'])
  t.equal(help, false)
  t.same(checkWorkerOptions(options), expected)
  t.same(checkWorkerOptions(workerOptionsFromEnv({
    TASKS_WORKER_QUEUE_NAME: 'a, b',
    TASKS_WORKER_EXCLUDE_QUEUES: 'c',
    TASKS_WORKER_CONCURRENCY: '3',
    TASKS_WORKER_INTERVAL: '250ms',
    TASKS_WORKER_BATCH: 'true',
    TASKS_WORKER_MAX_TASKS: '7',
    TASKS_WORKER_WORKER_ID: 'mail.1',
    TASKS_WORKER_LISTEN: 'false',
    TASKS_WORKER_LEASE: ''
  })), expected)
  t.same(checkWorkerOptions(workerOptionsFromFlags(['--queue-name', 'a', '--queue-name', 'b']).options).queueName, ['a', 'b'])
})

t.test('a flag wins over code, and code over the environment', async (t) => {
  const options = resolveWorkerOptions({ flags: { concurrency: 1 }, code: { concurrency: 2, interval: 20, lease: undefined }, env: { concurrency: 3, interval: 30, lease: 4_000 } })
  t.match(options, { concurrency: 1, interval: 20, lease: 4_000 })
})

t.test('what is wrong is named as it was given', async (t) => {
  const none = { flags: {}, code: {}, env: {} }
  t.throws(() => resolveWorkerOptions({ ...none, flags: { lease: 2_000, maxBlock: 2_000 } }), invalid(/^--max-block .*below the lease of 2000 ms/))
  t.throws(() => resolveWorkerOptions({ ...none, env: { lease: 50 } }), invalid(/^TASKS_WORKER_LEASE .*at least 100 ms/))
  t.throws(() => resolveWorkerOptions({ ...none, code: { processes: 1_000 } }), invalid(/^processes /))
  t.throws(() => workerOptionsFromEnv({ TASKS_WORKER_BATCH: 'perhaps' }), invalid(/^TASKS_WORKER_BATCH /))
  t.throws(() => workerOptionsFromFlags(['--max-tasks', '0']), invalid(/^--max-tasks .*from 1/))
  t.throws(() => workerOptionsFromFlags(['--max-tasks', '1e3']), invalid(/^--max-tasks /))
  t.throws(() => workerOptionsFromFlags(['--lease']), invalid(/^--lease .*missing/))
  t.throws(() => workerOptionsFromFlags(['--batch=yes']), invalid(/^--batch .*no value/))
  t.throws(() => workerOptionsFromFlags(['--listen']), invalid(/^--listen /))
  t.throws(() => workerOptionsFromFlags(['app.js']), invalid(/^app\.js /))
})

t.test('values that cannot be are refused', async (t) => {
  for (const [name, values] of Object.entries({
    concurrency: [0, 1.5, '3', null, 10_001],
    interval: [0, -1, 'soon', NaN],
    queueName: ['', [], ['a', ''], 'a,,b', 'é', 3],
    workerId: ['', 'x'.repeat(41), 'a b'],
    backend: ['', 'a b', null],
    batch: ['true', 1],
    maxBlock: [0, 30_000],
    maxTasks: [0, -1]
  })) for (const value of values) t.throws(() => checkWorkerOptions({ [name]: value } as any), invalid(new RegExp(`^${name} is not valid`)), `${name}: ${JSON.stringify(value)}`)
  t.throws(() => checkWorkerOptions(null as any), invalid(/^options /))
})
