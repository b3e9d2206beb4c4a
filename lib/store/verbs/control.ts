import type { Row, Selection } from '../store.js'
import type { Run, Session } from '../session.js'
import { returned, toRow } from '../row.js'
import { lockFree } from './guarded.js'
import { getMany, isId } from './read.js'
import { BATCH, conditionOf, readyBatches, runningOf } from './selection.js'

/** READY rows end at once; RUNNING ones are marked, and the workers that hold them told. */
export async function cancel (session: Session, selection: Selection): Promise<{ cancelled: Row[], signalled: string[] }> {
  if ('id' in selection) return await cancelOne(session, selection)
  const cancelled = await cancelReady(session, selection)
  const signalled = await signal(session, selection)
  // What was handed back in between was READY when the RUNNING ones were marked.
  return { cancelled: [...cancelled, ...await cancelReady(session, selection)], signalled }
}

async function cancelReady (session: Session, selection: Selection): Promise<Row[]> {
  const { dialect } = session
  const cancelled: Row[] = []
  for await (const ids of readyBatches(session, selection)) {
    const { rows, unsure } = await session.write('cancel tasks', cancelling(session, `${dialect.isIn('r.id', 'uuid')} AND r.status = 'READY'`), [dialect.list(ids)])
    cancelled.push(...rows.map(toRow))
    if (unsure && rows.length < ids.length) cancelled.push(...await cancelledEarlier(session, ids, rows))
  }
  return cancelled
}

/** What a try whose answer was lost has cancelled. */
async function cancelledEarlier (session: Session, ids: readonly string[], told: ReadonlyArray<Record<string, unknown>>): Promise<Row[]> {
  const known = new Set(told.map(({ id }) => id))
  return (await getMany(session, ids)).filter(({ id, status }) => status === 'CANCELLED' && !known.has(id))
}

/** In one statement, whichever of the two it is: a row that changes hands at this moment is waited for, and not missed. */
async function cancelOne (session: Session, { backend, id }: { backend: string, id: string }): Promise<{ cancelled: Row[], signalled: string[] }> {
  if (!isId(id)) return { cancelled: [], signalled: [] }
  const { value: rows, unsure } = await session.transact('cancel a task', async (run) => {
    const changed = await run(cancelling(session, "r.backend = ? AND r.id = ? AND r.status IN ('READY', 'RUNNING')"), [backend, id])
    await mark(session, run, changed.filter(({ status }) => status === 'RUNNING'))
    return changed
  })
  if (unsure && rows.length === 0) return { cancelled: (await cancelledEarlier(session, [id], rows)).filter((row) => row.backend === backend), signalled: [] }
  return {
    cancelled: rows.filter(({ status }) => status === 'CANCELLED').map(toRow),
    signalled: rows.filter(({ status }) => status === 'RUNNING').map(({ id }) => id as string)
  }
}

function cancelling ({ dialect, tables }: Session, condition: string): string {
  const ready = "r.status = 'READY'"
  return `
    UPDATE ${tables.results} AS r SET status = CASE WHEN ${ready} THEN 'CANCELLED' ELSE r.status END,
      claimable = false, parked = NULL, waiting = NULL, cancel_at = coalesce(r.cancel_at, n.at),
      holds = CASE WHEN ${ready} THEN NULL ELSE r.holds END,
      finished_at = CASE WHEN ${ready} THEN n.at ELSE r.finished_at END,
      unique_held = CASE WHEN ${ready} AND r.unique_until IS NULL THEN NULL ELSE r.unique_held END
    FROM (SELECT ${dialect.now} AS at) AS n
    WHERE ${condition}
    RETURNING ${returned(dialect)}`
}

/**
 * A row that somebody is changing is waited for, and marked as it is then, if it is RUNNING: also where another claim holds
 * it by now.
 */
async function signal (session: Session, selection: Selection): Promise<string[]> {
  const signalled: string[] = []
  for (let left = await runningOf(session, selection); left.length > 0;) {
    const { value } = await session.transact('cancel running tasks', async (run) => await signalSome(session, run, selection, left.slice(0, BATCH)))
    signalled.push(...value.signalled)
    left = left.filter((id) => !value.seen.has(id))
  }
  return signalled
}

async function signalSome (session: Session, run: Run, selection: Selection, ids: readonly string[]): Promise<{ seen: ReadonlySet<string>, signalled: string[] }> {
  const { dialect, tables } = session
  const seen = await lockFree(session, run, ids)
  const [condition, bindings] = conditionOf(session, selection, 'RUNNING')
  const marked = await run(`
    UPDATE ${tables.results} AS r SET cancel_at = coalesce(r.cancel_at, n.at) FROM (SELECT ${dialect.now} AS at) AS n
    WHERE ${dialect.isIn('r.id', 'uuid')} AND ${condition as string} RETURNING ${returned(dialect, ['id', 'worker'])}`, [dialect.list(seen), ...bindings])
  await mark(session, run, marked)
  return { seen: new Set(seen), signalled: marked.map(({ id }) => id as string) }
}

/** Tell the workers that hold these rows. */
async function mark ({ dialect, tables }: Session, run: Run, rows: ReadonlyArray<Record<string, unknown>>): Promise<void> {
  if (rows.length === 0) return
  const source = dialect.rows([['worker', 'text'], ['id', 'uuid']])
  await run(`INSERT INTO ${tables.cancels} (worker, id) SELECT i.worker, i.id FROM ${source.sql} AS i WHERE true ON CONFLICT DO NOTHING`, source.bind(rows.map(({ worker, id }) => [worker, id])))
}

export async function setPaused (session: Session, backend: string, queue: string, paused: boolean): Promise<void> {
  const { dialect, tables } = session
  await session.write(paused ? 'pause the queue' : 'resume the queue', `
    INSERT INTO ${tables.queues} (backend, name, paused_at) SELECT ?, ?, ${paused ? dialect.now : 'NULL'} WHERE true
    ON CONFLICT (backend, name) DO UPDATE SET paused_at = excluded.paused_at`, [backend, queue])
}
