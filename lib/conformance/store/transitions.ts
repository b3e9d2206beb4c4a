import assert from 'node:assert/strict'
import { TRANSITIONS, TaskResultStatus } from '../../core/status.js'
import { BACKEND, ending, type Bench } from './bench.js'
import type { Chapter } from './suite.js'

type Held = Awaited<ReturnType<Bench['inStatus']>>

/** Every verb on a row of every status: what the table of moves allows happens, and nothing else does. */
export const transitionsChapter: Chapter = (test) => {
  const statuses = Object.values(TaskResultStatus)
  for (const from of statuses) {
    for (const [verb, { call, by, to }] of Object.entries(VERBS)) {
      const legal = TRANSITIONS.some((move) => move.from === from && move.by === by && move.to === to)
      test(legal ? `${verb} makes a ${from} row ${to}` : `${verb} changes nothing in a ${from} row`, async (bench) => {
        const held = await bench.inStatus(from)
        const before = await bench.get(held.id)
        await call(bench, held)
        const after = await bench.get(held.id)
        if (legal) assert.equal(after.status, to)
        else assert.deepEqual(after, before)
      })
    }
  }

  test('every move of the table is made by a verb of the store', async (bench) => {
    const moves = new Set(Object.values(VERBS).map(({ by, to }) => `${by} ${to}`))
    for (const { by, to } of TRANSITIONS) assert.ok(moves.has(`${by} ${to}`), `${by} makes it ${to}`)
    await bench.store.ping()
  })
}

interface Verb {
  readonly by: string
  readonly to: TaskResultStatus
  readonly call: (bench: Bench, held: Held) => Promise<unknown>
}

const VERBS: Record<string, Verb> = {
  claim: { by: 'claim', to: 'RUNNING', call: async (bench) => await (await bench.worker()).claim() },
  cancel: { by: 'cancel', to: 'CANCELLED', call: async ({ store }, { id }) => await cancelReady(store, id) },
  'finish with a success': { by: 'finish', to: 'SUCCESSFUL', call: async (bench, held) => await finish(bench, held, 'SUCCESSFUL') },
  'finish with a failure': { by: 'finish', to: 'FAILED', call: async (bench, held) => await finish(bench, held, 'FAILED') },
  'finish with a cancellation': { by: 'finish', to: 'CANCELLED', call: async (bench, held) => await finish(bench, held, 'CANCELLED') },
  'finish with a retry': { by: 'retry', to: 'READY', call: async (bench, held) => await finish(bench, held, 'READY') },
  release: { by: 'release', to: 'READY', call: async ({ store }, held) => await store.release(held.worker, [held], []) },
  'release of a row that is to be cancelled': {
    by: 'release',
    to: 'CANCELLED',
    call: async ({ store }, held) => {
      if ((await store.get(held.id))?.status !== 'RUNNING') return
      await store.cancel({ backend: BACKEND, id: held.id })
      await store.release(held.worker, [held], [])
    }
  },
  rescue: { by: 'rescue', to: 'READY', call: async (bench, held) => await rescue(bench, held, 3) },
  'rescue at the end of the crash budget': { by: 'rescue', to: 'FAILED', call: async (bench, held) => await rescue(bench, held, 1) },
  'rescue of a row that is to be cancelled': {
    by: 'rescue',
    to: 'CANCELLED',
    call: async (bench, held) => {
      if ((await bench.get(held.id)).status === 'RUNNING') await bench.store.cancel({ backend: BACKEND, id: held.id })
      await rescue(bench, held, 3)
    }
  },
  requeue: { by: 'requeue', to: 'READY', call: async ({ store }, { id }) => await store.requeue({ backend: BACKEND, id }) }
}

/** Of a RUNNING row a cancellation is a request to its worker, and no move. */
async function cancelReady (store: Bench['store'], id: string): Promise<void> {
  await store.cancel({ backend: BACKEND, id })
}

async function finish (bench: Bench, held: Held, status: TaskResultStatus): Promise<void> {
  await bench.store.finish(held.worker, [ending(held, status)], [])
}

/** The worker of the row dies; a worker that held it before has died as well. */
async function rescue (bench: Bench, held: Held, crashBudget: number): Promise<void> {
  await bench.store.renew(held.worker, { leaseMs: 1, running: 0 })
  const deadline = performance.now() + 30_000
  while (performance.now() < deadline) {
    const { workers } = await bench.store.rescue({ backend: BACKEND, crashBudget })
    if (workers.includes(held.worker)) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  assert.fail('the dead worker was not found')
}
