/** How much of each measure; durations in milliseconds. `--tasks`, `--seconds` and the like change them. */
export const FULL = {
  tasks: 100_000, // drained, and enqueued in bulk
  slice: 20_000, // of which rates are compared
  flowing: 600_000,
  backlog: 1_000_000,
  memory: 1_000_000,
  kindTasks: 5_000, // of each kind
  scaleTasks: 5_000, // a worker
  scaleMs: 10, // of each of them
  enqueues: 2_000, // one at a time
  pickups: 200,
  pauseMs: 30, // between two of them
  idleMs: 5_000,
  durationMs: 5_000, // of callers and of routes
  limitMs: 60_000, // of a drain: what is slower is measured on what it did until then
  heavyLimitMs: 600_000
}

/** Small: says only that all of it runs. */
export const SMOKE = {
  tasks: 200,
  slice: 1_000,
  flowing: 4_000,
  backlog: 2_000,
  memory: 2_000,
  kindTasks: 50,
  scaleTasks: 50,
  scaleMs: 10,
  enqueues: 20,
  pickups: 5,
  pauseMs: 10,
  idleMs: 100,
  durationMs: 100,
  limitMs: 1_000,
  heavyLimitMs: 10_000
}
