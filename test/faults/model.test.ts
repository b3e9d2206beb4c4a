import assert from 'node:assert/strict'
import t from 'tap'
import fc from 'fast-check'
import { openStore, type Store } from '#lib/store/index.js'
import { ending, newRow, TestWorker } from '#lib/conformance/store/bench.js'
import { databases } from '../support/databases.ts'

// Two workers, a rescuer and somebody who cancels and retries do whatever they like, in any order, with tokens new and
// stale; leases run out whenever it suits nobody. After each step the store must be where the model is.

const BUDGET = 3
const RUNS = { sqlite: 150, postgres: 15 }

interface ModelRow { status: string, attempts: number, deaths: number, holder: string | null, cancelAsked: boolean }
interface ModelWorker { readonly worker: TestWorker, expired: boolean, gone: boolean, readonly tokens: Array<{ id: string, claim: number }> }

const who = fc.nat(1)
const which = fc.nat(11)
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('insert' as const), count: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('claim' as const), who, limit: fc.integer({ min: 1, max: 3 }), quarantined: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('finish' as const), who, which, status: fc.constantFrom('SUCCESSFUL' as const, 'FAILED' as const, 'READY' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), who, which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('progress' as const), who, which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('expire' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('renew' as const), who }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), who, politely: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('rescue' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), which }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('requeue' as const), which }) }
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

class Model {
  readonly #store: Store
  readonly #rows = new Map<string, ModelRow>()
  readonly #workers: ModelWorker[] = []
  /** Of the past: their tokens live on in what is tried with them. */
  readonly #dead: ModelWorker[] = []

  constructor (store: Store) {
    this.#store = store
  }

  async start (): Promise<void> {
    for (const index of [0, 1]) await this.#register(index)
  }

  async take (step: Step): Promise<void> {
    switch (step.do) {
      case 'insert': {
        const rows = Array.from({ length: step.count }, () => newRow())
        await this.#store.insert(rows)
        for (const { id } of rows) this.#rows.set(id, { status: 'READY', attempts: 0, deaths: 0, holder: null, cancelAsked: false })
        break
      }
      case 'claim': await this.#claim(this.#workers[step.who] as ModelWorker, step.limit, step.quarantined); break
      case 'finish': await this.#end(step.who, step.which, step.status); break
      case 'release': await this.#end(step.who, step.which, 'release'); break
      case 'progress': {
        const { worker, token, row } = this.#token(step.who, step.which)
        if (token !== undefined) assert.equal(await this.#store.progress(worker.id, token, '1'), row?.holder === holderOf(worker, token), 'progress')
        break
      }
      case 'expire': {
        const subject = this.#workers[step.who] as ModelWorker
        assert.equal((await this.#store.renew(subject.worker.id, { leaseMs: -1, running: 0 })).held, !subject.expired && !subject.gone)
        subject.expired = true
        break
      }
      case 'renew': {
        const { worker, expired, gone } = this.#workers[step.who] as ModelWorker
        assert.equal((await this.#store.renew(worker.id, { leaseMs: 60_000, running: 0 })).held, !expired && !gone, 'a lease that has run out is not renewed')
        break
      }
      case 'restart': await this.#restart(step.who, step.politely); break
      case 'rescue': await this.#rescue(); break
      case 'cancel': await this.#cancel(step.which); break
      case 'requeue': await this.#requeue(step.which)
    }
    await this.#compare(step)
  }

  async #register (index: number): Promise<void> {
    const worker = new TestWorker(this.#store, ['test.task'], 'default')
    await worker.register(60_000, true)
    this.#workers[index] = { worker, expired: false, gone: false, tokens: [] }
  }

  async #claim (subject: ModelWorker, limit: number, quarantined: boolean): Promise<void> {
    const ready = [...this.#rows].filter(([, { status, deaths }]) => status === 'READY' && (deaths >= 2) === quarantined).map(([id]) => id)
    const claimed = await subject.worker.claim({ limit, quarantined })
    const expected = subject.expired || subject.gone ? 0 : Math.min(limit, ready.length)
    assert.equal(claimed.length, expected, 'as many as there are, and none without a lease')
    for (const { id, claim } of claimed) {
      assert.ok(ready.includes(id), 'only what is ready is claimed')
      const row = this.#rows.get(id) as ModelRow
      Object.assign(row, { status: 'RUNNING', attempts: row.attempts + 1, holder: holderOf(subject.worker, { claim }) })
      subject.tokens.push({ id, claim })
    }
  }

  /** A token of this worker or of its predecessors, valid or not, and the row that it is for. */
  #token (who: number, which: number): { worker: TestWorker, token: { id: string, claim: number } | undefined, row: ModelRow | undefined } {
    const all = [...this.#dead, this.#workers[who] as ModelWorker].flatMap(({ worker, tokens }) => tokens.map((token) => ({ worker, token })))
    const chosen = all[all.length - 1 - which % Math.max(1, all.length)]
    return { worker: chosen?.worker ?? (this.#workers[who] as ModelWorker).worker, token: chosen?.token, row: chosen === undefined ? undefined : this.#rows.get(chosen.token.id) }
  }

  async #end (who: number, which: number, how: 'SUCCESSFUL' | 'FAILED' | 'READY' | 'release'): Promise<void> {
    const { worker, token, row } = this.#token(who, which)
    if (token === undefined || row === undefined) return
    const accepted = how === 'release'
      ? (await this.#store.release(worker.id, [token], [])).length
      : (await worker.finish(ending(token, how))).length
    const valid = row.holder === holderOf(worker, token)
    assert.equal(accepted, valid ? 1 : 0, 'a write counts while its token holds, and then no more')
    if (!valid) return
    if (how === 'release') row.attempts -= 1
    row.holder = null
    row.status = row.cancelAsked ? 'CANCELLED' : how === 'release' ? 'READY' : how
  }

  async #restart (who: number, politely: boolean): Promise<void> {
    const subject = this.#workers[who] as ModelWorker
    if (politely) {
      await this.#store.deregister(subject.worker.id)
      for (const row of this.#heldBy(subject)) Object.assign(row, { status: row.cancelAsked ? 'CANCELLED' : 'READY', attempts: row.attempts - 1, holder: null })
      subject.gone = true
    }
    this.#dead.push(subject)
    await this.#register(who)
  }

  async #rescue (): Promise<void> {
    await this.#store.rescue({ backend: 'default', crashBudget: BUDGET })
    for (const subject of [...this.#dead, ...this.#workers]) {
      if (!subject.expired) continue
      for (const row of this.#heldBy(subject)) {
        const deaths = row.deaths + 1
        Object.assign(row, { deaths, holder: null, status: row.cancelAsked ? 'CANCELLED' : deaths >= BUDGET ? 'FAILED' : 'READY' })
      }
    }
  }

  async #cancel (which: number): Promise<void> {
    const [id, row] = this.#pick(which)
    if (row === undefined) return
    const { cancelled, signalled } = await this.#store.cancel({ backend: 'default', id })
    assert.deepEqual([cancelled.length, signalled.length > 0 || row.status !== 'RUNNING'], [row.status === 'READY' ? 1 : 0, true])
    if (row.status === 'READY') row.status = 'CANCELLED'
    else if (row.status === 'RUNNING') row.cancelAsked = true
  }

  async #requeue (which: number): Promise<void> {
    const [id, row] = this.#pick(which)
    if (row === undefined) return
    const ended = row.status === 'FAILED' || row.status === 'CANCELLED'
    assert.deepEqual(await this.#store.requeue({ backend: 'default', id }), ended ? [id] : [])
    if (ended) Object.assign(row, { status: 'READY', deaths: 0, cancelAsked: false })
  }

  #pick (which: number): [string, ModelRow | undefined] {
    const rows = [...this.#rows]
    return rows[which % Math.max(1, rows.length)] ?? ['', undefined]
  }

  #heldBy ({ worker }: ModelWorker): ModelRow[] {
    return [...this.#rows.values()].filter(({ holder }) => holder?.startsWith(`${worker.id} `) ?? false)
  }

  async #compare (step: Step): Promise<void> {
    const rows = await this.#store.getMany([...this.#rows.keys()])
    assert.equal(rows.length, this.#rows.size)
    for (const { id, status, attempts, deaths } of rows) {
      const model = this.#rows.get(id) as ModelRow
      assert.deepEqual({ status, attempts, deaths }, { status: model.status, attempts: model.attempts, deaths: model.deaths }, `after ${JSON.stringify(step)}`)
    }
  }
}

function holderOf (worker: TestWorker, { claim }: { claim: number }): string {
  return `${worker.id} ${claim}`
}

for (const { name, open } of databases) {
  t.test(`${name}: whatever two workers, a rescuer and a canceller do, the store is where the model is`, { timeout: 120_000 }, async (t) => {
    const database = await open()
    t.teardown(async () => { await database.close() })
    let prefix = 0
    await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 50, size: 'max' }), async (steps) => {
      const store = openStore(name === 'sqlite' ? { url: 'sqlite::memory:' } : { url: database.url, tablePrefix: `run${++prefix}_` })
      try {
        await store.open()
        const model = new Model(store)
        await model.start()
        for (const step of steps) await model.take(step)
      } finally {
        await store.close()
      }
    }), { numRuns: RUNS[name], endOnFailure: false })
    t.pass(`${RUNS[name]} histories`)
  })
}
