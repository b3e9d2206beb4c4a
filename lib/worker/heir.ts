import type { DatabaseBackend } from '../backends/database.js'
import type { TasksHost } from '../core/host.js'
import type { Estate } from './messages.js'

/**
 * Settle what workers left behind whose processes are gone: write the endings that had to wait for that, hand back what
 * was interrupted, and make what died claimable at once, where others would have to wait for its lease to run out.
 */
export async function settleEstates (host: TasksHost, backend: DatabaseBackend, estates: readonly Estate[]): Promise<void> {
  let failure: { error: unknown } | null = null
  for (const estate of estates) {
    try {
      await settle(host, backend, estate)
    } catch (error) {
      failure ??= { error } // the others are not to wait for a lease because of it
    }
  }
  if (failure !== null) throw failure.error
}

async function settle (host: TasksHost, backend: DatabaseBackend, { worker, endings, died, started }: Estate): Promise<void> {
  const { store } = backend
  const finished = endings.length === 0 ? [] : await store.finish(worker, endings, [])
  if (died && started !== null) await store.unmarkStarted({ worker, claim: started.claim }, started.rows)
  if (died) await store.renew(worker, { leaseMs: -1, running: 0 }) // over as of now, by the database's clock
  else await store.deregister(worker)
  host.log.info({ worker, finished: finished.length, died }, 'what a worker left behind was settled')
  for (const { id, status } of finished) {
    const name = status === 'READY' ? 'onRetried' : 'onFinished'
    try {
      const row = host.events.wants(name, status) ? await store.get(id) : null
      if (row !== null) host.events.emit(name, backend.resultOf(await backend.decodeRow(row)))
    } catch (error) {
      host.log.error({ err: error, id }, `an ending was written, and its result cannot be read for ${name}`)
    }
  }
}
