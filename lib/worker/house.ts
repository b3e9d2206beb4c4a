import type { FastifyBaseLogger } from 'fastify'
import type { DatabaseBackend } from '../backends/database.js'
import { PRUNE_INTERVAL_MS } from '../core/limits.js'
import { Loop } from './loop.js'
import type { Parking } from './parking.js'
import { Pruner } from './pruner.js'
import type { WorkerRole } from './role.js'

export interface HouseSettings {
  readonly backend: DatabaseBackend
  readonly role: WorkerRole
  readonly log: FastifyBaseLogger
  /** Milliseconds between two sweeps. */
  readonly every: number
  readonly parking: Parking
  readonly sweep: () => Promise<void>
  readonly onError: (error: unknown) => void
}

/** What a worker does beside its tasks, again and again. A process for quarantined tasks leaves most of it to the others. */
export function loopsOf ({ backend, role, log, every, parking, sweep, onError }: HouseSettings): Loop[] {
  const sweeping = new Loop({ every, onError, run: sweep })
  if (role.quarantined) return [sweeping]
  const pruner = new Pruner(backend.store, backend.alias, backend.defaults.retention, log)
  return [
    sweeping,
    // By itself: to let go of a million is not to keep dead workers from being found.
    new Loop({ every, onError, run: async (signal) => { await parking.letGo(signal) } }),
    new Loop({ every: PRUNE_INTERVAL_MS, onError, run: async (signal) => { await pruner.runOnce(signal) } })
  ]
}
