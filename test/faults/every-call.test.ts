import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import Fastify from 'fastify'
import fastifyTasks, { task, type TaskResult } from 'fastify-tasks'
import { faultyStore, type FaultyStore, type StoreFault, type StoreVerb } from 'fastify-tasks/testing'
import { createWorker } from 'fastify-tasks/worker'
import { eventually } from '../support/eventually.ts'

// Every call that a worker makes of its store goes wrong once, in every way: the first of each verb, then the second,
// until a whole life no longer reaches it. What the worker does must come to the same as if nothing had happened.

const VERBS: readonly StoreVerb[] = ['register', 'renew', 'cancelled', 'lanes', 'claim', 'markStarted', 'progress', 'finish', 'release', 'rescue', 'deregister', 'listen']
const FAULTS: readonly StoreFault[] = ['before', 'after', 'slow']

// Verbs that are called at a rhythm are called more often in a slower life; more of them shows nothing new.
const CALLS_MAX = 6
const LIVES_MAX = 5 // until one has such a call: where the machine is busy a worker may claim nothing ahead, and then marks nothing
const QUICK = 12
const RENEWALS = 3

t.jobs = 6 // each life has an app of its own, and mostly waits

type App = Awaited<ReturnType<typeof open>>

async function open (): Promise<{ app: ReturnType<typeof Fastify>, faulty: FaultyStore, tasks: ReturnType<typeof tasksOf>, state: State }> {
  const app = Fastify()
  const state: State = { running: new Set(), overlapped: 0, holding: true }
  const tasks = tasksOf(state)
  await app.register(fastifyTasks, { tasks: Object.values(tasks), env: false, backends: { default: { backend: 'database', url: 'sqlite::memory:' } } })
  await app.ready()
  const backend = app.tasks.backend() as unknown as { store: Parameters<typeof faultyStore>[0] }
  const faulty = faultyStore(backend.store, { slowMs: 30 })
  Object.defineProperty(backend, 'store', { value: faulty.store })
  return { app, faulty, tasks, state }
}

interface State {
  readonly running: Set<string>
  overlapped: number
  /** The last task runs until it is aborted. */
  holding: boolean
}

function tasksOf (state: State) {
  const alone = async (id: string, body: () => Promise<unknown>): Promise<unknown> => {
    if (state.running.has(id)) state.overlapped += 1
    state.running.add(id)
    try {
      return await body()
    } finally {
      state.running.delete(id)
    }
  }
  return {
    quick: task('quick', { takesContext: true }, async ({ taskResult: { id } }) => await alone(id, async () => await sleep(3, id))), // long enough to be marked one by one
    flaky: task('flaky', { takesContext: true, retry: { limit: 1, delay: 0 } }, async ({ taskResult: { id }, attempt }) => await alone(id, async () => {
      if (attempt === 1) throw new Error('the first time')
      return id
    })),
    long: task('long', { takesContext: true }, async ({ taskResult: { id }, signal, progress }) => await alone(id, async () => {
      await progress('begun').catch(() => {})
      await sleep(60_000, undefined, { signal })
    })),
    held: task('held', { takesContext: true }, async ({ taskResult: { id }, signal }) => await alone(id, async () => {
      if (state.holding) await sleep(60_000, undefined, { signal })
      return id
    }))
  }
}

/** A worker that runs everything there is, is told of a cancellation and stopped in the middle; and another that ends the rest. */
async function life ({ app, faulty, tasks: { quick, flaky, long, held }, state }: App, renewals: number): Promise<void> {
  const { running } = state
  state.holding = true
  const results = [...await quick.enqueueMany(Array.from({ length: QUICK }, () => [])), await flaky.enqueue()]
  const cancelled = await long.enqueue()
  const stopped = await held.enqueue()
  const options = { lease: renewals > 0 ? 3_000 : 30_000, sweep: 40, interval: 20, concurrency: 2 } // fewer slots than tasks: some are claimed ahead
  const first = createWorker(app, { ...options, shutdownGrace: 0 })
  const ended = first.run()
  await eventually(() => { assert.ok(running.has(cancelled.id) && running.has(stopped.id), 'both run') }, { interval: 2 })
  assert.equal(await cancelled.cancel(), true)
  for (const result of [...results, cancelled]) await eventually(async () => { await result.refresh(); assert.ok(result.isFinished, 'ended') }, { interval: 5 })
  await eventually(() => { assert.ok((faulty.calls.get('renew') ?? 0) >= renewals, 'renewed') }, { interval: 5 })
  await first.stop()
  await ended
  state.holding = false
  await createWorker(app, { ...options, batch: true }).run()
  for (const result of [...results, cancelled, stopped]) await result.refresh()
  for (const result of results.slice(0, QUICK)) same(result, { status: 'SUCCESSFUL', attempts: 1, errors: 0 })
  same(results[QUICK] as TaskResult, { status: 'SUCCESSFUL', attempts: 2, errors: 1 })
  same(stopped, { status: 'SUCCESSFUL', attempts: 1, errors: 0 })
  // A short lease may be lost on a busy machine: what ran is handed back then, uncharged, and a cancellation ends it there.
  same(cancelled, { status: 'CANCELLED', attempts: renewals > 0 ? Math.min(1, cancelled.attempts) : 1, errors: cancelled.errors.length })
  assert.equal(state.overlapped, 0, 'no two attempts of one task at a time')
}

function same ({ id, taskName, status, attempts, errors }: TaskResult, expected: { status: string, attempts: number, errors: number }): void {
  assert.deepEqual({ status, attempts, errors: errors.length }, expected, `${taskName} ${id}: ${JSON.stringify(errors)}`)
}

for (const verb of VERBS) {
  for (const fault of FAULTS) {
    t.test(`a worker lives on when a ${verb} ${wordsOf(fault)}, whichever it is`, { timeout: 120_000, buffered: true }, async (t) => {
      const opened = await open()
      t.teardown(async () => { await opened.app.close() })
      const meets = async (call: number): Promise<boolean> => {
        opened.faulty.arm(verb, call, fault)
        await life(opened, verb === 'renew' ? RENEWALS : 0).catch((error: Error) => { throw new Error(`${verb} ${call} ${fault}: ${error.message}`) })
        return opened.faulty.struck
      }
      let met = 0
      for (let lives = 0; met === 0 && lives < LIVES_MAX; lives++) if (await meets(1)) met = 1
      while (met > 0 && met < CALLS_MAX && await meets(met + 1)) met += 1
      t.ok(met > 0, `${met} calls went wrong`)
    })
  }
}

function wordsOf (fault: StoreFault): string {
  return { before: 'fails', after: 'takes effect and its answer is lost', slow: 'is slow' }[fault]
}
