// What `fastify-tasks worker` starts its processes with.
const WORKER_FLAGS = ['--heap-growing-percent=50']

/**
 * Who is measured: each library once with its defaults, and once with the fastest settings that its documentation
 * names. `settings` go to the adapter; `says` is printed beside the figures. `heavy`: takes part in the measures with
 * hundreds of thousands of rows. `workerFlags`: of Node.js,
 * for its worker. `smoke`: the one of its adapter that the short form runs. `bulk`: rows of one bulk enqueue. `scales`:
 * takes part where workers share tasks that wait, with these settings: ten tasks at a time in each worker.
 */
export const contestants = [
  {
    name: 'ours',
    smoke: true,
    family: 'ours',
    adapter: 'ours',
    workerFlags: WORKER_FLAGS,
    database: 'postgres',
    heavy: true,
    bulk: 1_000,
    says: 'defaults (concurrency 10); log level info, to /dev/null',
    scales: { logger: true, worker: {} },
    settings: { logger: true, worker: {} }
  },
  {
    name: 'ours-quiet',
    family: 'ours',
    adapter: 'ours',
    workerFlags: WORKER_FLAGS,
    database: 'postgres',
    bulk: 1_000,
    says: 'concurrency 100; log level warn',
    settings: { logger: { level: 'warn' }, worker: { concurrency: 100 } }
  },
  {
    name: 'ours-sqlite',
    smoke: true,
    family: 'ours',
    adapter: 'ours',
    workerFlags: WORKER_FLAGS,
    database: 'sqlite',
    heavy: true,
    bulk: 1_000,
    says: 'defaults (concurrency 10, sqlite3, synchronous=FULL); log level info, to /dev/null',
    scales: { logger: true, worker: {} },
    settings: { logger: true, worker: {} }
  },
  {
    name: 'ours-sqlite-quiet',
    family: 'ours',
    adapter: 'ours',
    workerFlags: WORKER_FLAGS,
    database: 'sqlite',
    bulk: 1_000,
    says: 'concurrency 100 (sqlite3, synchronous=FULL); log level warn',
    settings: { logger: { level: 'warn' }, worker: { concurrency: 100 } }
  },
  {
    name: 'graphile',
    family: 'graphile',
    adapter: 'graphile-worker',
    database: 'postgres',
    bulk: 1_000,
    says: 'defaults (concurrentJobs 1, log to the console: /dev/null); rows deleted',
    settings: { worker: {} }
  },
  {
    name: 'graphile-tuned',
    smoke: true,
    family: 'graphile',
    adapter: 'graphile-worker',
    database: 'postgres',
    heavy: true,
    bulk: 1_000,
    says: 'concurrentJobs 24, localQueue.size 500, completeJobBatchDelay 0, failJobBatchDelay 0, maxPoolSize 26, no log; rows deleted',
    scales: { silent: true, worker: { concurrentJobs: 10, localQueue: { size: 20 }, completeJobBatchDelay: 0, failJobBatchDelay: 0, maxPoolSize: 12 } },
    settings: { silent: true, worker: { concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0, maxPoolSize: 26 } }
  },
  {
    name: 'pg-boss',
    family: 'pg-boss',
    adapter: 'pg-boss',
    database: 'postgres',
    bulk: 1_000,
    says: 'defaults (polls every 2 s, batchSize 1)',
    settings: {}
  },
  {
    name: 'pg-boss-tuned',
    smoke: true,
    family: 'pg-boss',
    adapter: 'pg-boss',
    database: 'postgres',
    heavy: true,
    bulk: 1_000,
    says: 'useListenNotify and notify, batchSize 500, localConcurrency 2, burstWhenBatchFull, pollingIntervalSeconds 0.5',
    settings: {
      boss: { useListenNotify: true },
      queue: { notify: true },
      work: { batchSize: 500, localConcurrency: 2, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 }
    }
  },
  {
    name: 'bullmq',
    family: 'bullmq',
    adapter: 'bullmq',
    database: 'redis',
    bulk: 1_000,
    says: 'defaults (concurrency 1); Redis with its defaults: not durable',
    settings: {}
  },
  {
    name: 'bullmq-tuned',
    smoke: true,
    family: 'bullmq',
    adapter: 'bullmq',
    database: 'redis',
    bulk: 1_000,
    says: 'concurrency 100, removeOnComplete; Redis with its defaults: not durable',
    scales: { queue: { defaultJobOptions: { removeOnComplete: true } }, worker: { concurrency: 10 } },
    settings: { queue: { defaultJobOptions: { removeOnComplete: true } }, worker: { concurrency: 100 } }
  },
  {
    name: 'plainjob',
    family: 'plainjob',
    adapter: 'plainjob',
    database: 'sqlite',
    bulk: 1_000,
    says: 'defaults (polls every second, logs to the console: /dev/null, synchronous=NORMAL: not durable in a power cut)',
    settings: {}
  },
  {
    name: 'plainjob-tuned',
    smoke: true,
    family: 'plainjob',
    adapter: 'plainjob',
    database: 'sqlite',
    bulk: 1_000,
    says: 'pollIntervall 1 ms, no log (synchronous=NORMAL)',
    settings: { silent: true, worker: { pollIntervall: 1 } }
  },
  {
    name: 'bare',
    family: 'bare',
    adapter: 'bare-postgres',
    database: 'postgres',
    heavy: true,
    bulk: 500,
    says: 'SQL by hand: batches of 500, prepared statements, rows kept, no NOTIFY',
    settings: { batch: 500, notify: false }
  },
  {
    name: 'bare-notify',
    smoke: true,
    family: 'bare',
    adapter: 'bare-postgres',
    database: 'postgres',
    heavy: true,
    bulk: 500,
    says: 'the same with a NOTIFY on each insert',
    settings: { batch: 500, notify: true }
  },
  {
    name: 'bare-sqlite',
    smoke: true,
    family: 'bare',
    adapter: 'bare-sqlite',
    database: 'sqlite',
    heavy: true,
    bulk: 500,
    says: 'SQL by hand with better-sqlite3: batches of 500, synchronous=FULL, rows kept',
    settings: { batch: 500, synchronous: 'FULL' }
  }
]

/**
 * Those that `--only` names: by name, or by family, which is all of a library's. In the short form one of each adapter.
 * @param {{ only: string[], short: boolean, also?: string }} asked - `also`: another checkout of this repository, built;
 * what is chosen of ours is measured from there as well, right after it
 */
export function chosen ({ only, short, also }) {
  for (const word of only) {
    if (!contestants.some(({ name, family }) => name === word || family === word)) {
      throw new Error(`There is no contestant ${word}. There are: ${contestants.map(({ name }) => name).join(', ')}`)
    }
  }
  const all = only.length === 0
    ? contestants.filter(({ smoke }) => smoke || !short)
    : contestants.filter(({ name, family }) => only.includes(name) || only.includes(family))
  if (also === undefined) return all
  return all.flatMap((contestant) => contestant.family !== 'ours'
    ? [contestant]
    : [contestant, { ...contestant, name: `${contestant.name} (also)`, says: `${contestant.says}; from ${also}`, settings: { ...contestant.settings, checkout: also } }])
}
