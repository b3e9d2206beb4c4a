import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { v7 as uuid } from 'uuid'
import { eventually } from '../eventually.js'
import type { ClaimedRow, ClaimLimits, Ending, Lane, FinishedRow, LimitedClaim, NewRow, Row, StoredError, Store, Success } from '../../store/store.js'
import { TaskResultStatus } from '../../core/status.js'

/** Fresh tables, and ways to look at them. */
export interface StoreUnderTest {
  /** Opened and migrated. */
  readonly store: Store
  /** Another store on the same tables, opened, with connections of its own: another process, as far as the database knows. */
  connect (): Promise<Store>
  /** Close every store that was made, and take the tables away. */
  close (): Promise<void>
}

export const BACKEND = 'default'
export const LEASE_MS = 60_000

/** What the tests of a store work with: rows to insert, and workers that claim them. */
export class Bench {
  readonly store: Store
  readonly connect: () => Promise<Store>

  constructor (subject: StoreUnderTest) {
    this.store = subject.store
    this.connect = async () => await subject.connect()
  }

  async insert (...rows: Array<Partial<NewRow>>): Promise<Row[]> {
    return (await this.store.insert(rows.map(newRow))).map(({ row }) => row)
  }

  async insertOne (row: Partial<NewRow> = {}): Promise<Row> {
    return (await this.insert(row))[0] as Row
  }

  async get (id: string): Promise<Row> {
    const row = await this.store.get(id)
    assert.ok(row !== null, 'the row is there')
    return row
  }

  /** Register a worker that knows these tasks. */
  async worker (options: { tasks?: readonly string[], leaseMs?: number, quarantine?: boolean, backend?: string, store?: Store } = {}): Promise<TestWorker> {
    const worker = new TestWorker(options.store ?? this.store, options.tasks ?? ['test.task'], options.backend ?? BACKEND)
    await worker.register(options.leaseMs ?? LEASE_MS, options.quarantine ?? true)
    return worker
  }

  /** A row that a worker holds, and that worker. */
  async running (row: Partial<NewRow> = {}, leaseMs = LEASE_MS): Promise<{ row: ClaimedRow, worker: TestWorker }> {
    const { id, task } = await this.insertOne(row)
    const worker = await this.worker({ leaseMs, tasks: [task] })
    const [claimed] = await worker.claim()
    assert.equal(claimed?.id, id)
    return { row: claimed as ClaimedRow, worker }
  }

  /** A row that has come to this status in the way that rows do, and the last token that it was held with. */
  async inStatus (status: TaskResultStatus): Promise<{ id: string, worker: string, claim: number }> {
    if (status === 'READY') return { id: (await this.insertOne()).id, worker: (await this.worker()).id, claim: 1 }
    const { row, worker } = await this.running()
    if (status !== 'RUNNING') await worker.finish(ending(row, status))
    assert.equal((await this.get(row.id)).status, status)
    return { id: row.id, worker: worker.id, claim: row.claim }
  }

  /** Let the lease of a worker run out, and take back what it held. Answers what the rescue answered. */
  async bury (worker: TestWorker, crashBudget = 3): Promise<Awaited<ReturnType<Store['rescue']>>> {
    await this.store.renew(worker.id, { leaseMs: 1, running: 0 })
    return await eventually(async () => {
      const rescued = await this.store.rescue({ backend: worker.backend, crashBudget })
      assert.ok(rescued.workers.includes(worker.id), 'the dead worker is found')
      return rescued
    })
  }
}

/** A worker as the store sees one. */
export class TestWorker {
  readonly id = `test-${randomBytes(12).toString('hex')}`
  readonly store: Store
  readonly tasks: readonly string[]
  readonly backend: string
  lastClaim = 0

  constructor (store: Store, tasks: readonly string[], backend: string) {
    this.store = store
    this.tasks = tasks
    this.backend = backend
  }

  async register (leaseMs: number, quarantine: boolean): Promise<void> {
    await this.store.register({ id: this.id, backend: this.backend, leaseMs, tasks: this.tasks, quarantine })
  }

  /** Claim from every lane that the store names. */
  async claim ({ limit = 100, start = limit, quarantined = false, unlessLimited = false, queues }: { limit?: number, start?: number, quarantined?: boolean, unlessLimited?: boolean, queues?: readonly string[] } = {}): Promise<ClaimedRow[]> {
    const { lanes } = await this.store.lanes({ backend: this.backend, quarantined })
    const wanted = lanes.filter(({ queue }) => queues === undefined || queues.includes(queue))
    if (wanted.length === 0) return []
    return await this.store.claim({
      worker: this.id,
      claim: ++this.lastClaim,
      backend: this.backend,
      lanes: wanted.map(({ queue, priority }) => ({ queue, priority, after: null })),
      limit,
      start,
      tasks: this.tasks,
      unlessLimited,
      ...(quarantined && { quarantined })
    })
  }

  /** Claim rows that have limits, as far as these have room, and rows of these lanes in their turn. */
  async claimLimited ({ limit = 100, quarantined = false, lanes = [], queues = new Map<string, ClaimLimits>() }: { limit?: number, quarantined?: boolean, lanes?: readonly Lane[], queues?: ReadonlyMap<string, ClaimLimits> } = {}): Promise<LimitedClaim> {
    const { heads } = await this.store.limitedHeads({ backend: this.backend, tasks: this.tasks, quarantined, after: null })
    return await this.store.claimLimited({ worker: this.id, claim: ++this.lastClaim, backend: this.backend, heads, lanes, limit, tasks: this.tasks, quarantined, queues })
  }

  /** Claim from whatever lanes there are, as an idle worker does. */
  async claimAny ({ limit = 100, only = null, except = [], unlessLimited = false }: { limit?: number, only?: readonly string[] | null, except?: readonly string[], unlessLimited?: boolean } = {}): Promise<ClaimedRow[]> {
    return await this.store.claim({ worker: this.id, claim: ++this.lastClaim, backend: this.backend, lanes: { only, except }, limit, start: limit, tasks: this.tasks, unlessLimited })
  }

  /** Claim until the row comes: for those that are due in a moment. */
  async claimEventually (id: string, options: { quarantined?: boolean } = {}): Promise<ClaimedRow> {
    return await eventually(async () => {
      const claimed = (await this.claim(options)).find((row) => row.id === id)
      assert.ok(claimed !== undefined, 'the row is claimed in the end')
      return claimed
    })
  }

  async finish (...endings: Ending[]): Promise<FinishedRow[]> {
    return await this.store.finish(this.id, endings, [])
  }

  async release (...rows: ClaimedRow[]): Promise<string[]> {
    return await this.store.release(this.id, rows.map(({ id, claim }) => ({ id, claim })), [])
  }
}

export function newRow (row: Partial<NewRow> = {}): NewRow {
  return {
    id: uuid(),
    backend: BACKEND,
    task: 'test.task',
    queue: 'default',
    priority: 0,
    runAfter: null,
    delay: null,
    args: '[]',
    options: null,
    tags: [],
    unique: null,
    maxReady: null,
    limits: null,
    ...row
  }
}

interface EndingFields { value?: string, delay?: number, errors?: readonly StoredError[] }

/** The ending that gives a claimed row this status; READY is a retry at once. */
export function ending (row: { id: string, claim: number }, status: 'SUCCESSFUL', fields?: EndingFields): Success
export function ending (row: { id: string, claim: number }, status: TaskResultStatus, fields?: EndingFields): Ending
export function ending (row: { id: string, claim: number }, status: TaskResultStatus, { value = 'null', delay = 0, errors = [storedError()] }: EndingFields = {}): Ending {
  const { id, claim } = row
  if (status === 'SUCCESSFUL') return { id, claim, status, returnValue: value }
  if (status === 'READY') return { id, claim, status, errors, delay }
  if (status === 'RUNNING') throw new TypeError('RUNNING ends nothing')
  return { id, claim, status, errors }
}

export function storedError (error: Partial<StoredError> = {}): StoredError {
  return { exceptionClass: 'Error', message: 'it failed', code: null, traceback: 'Error: it failed\n', attempt: 1, at: 1_700_000_000_000, ...error }
}

export function ids (rows: ReadonlyArray<{ id: string }>): string[] {
  return rows.map(({ id }) => id)
}
