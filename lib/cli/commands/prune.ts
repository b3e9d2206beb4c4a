import { PRUNE_FAILED_MIN_AGE_MS, PRUNE_MIN_AGE_MS, PRUNE_ROWS_MAX } from '../../core/limits.js'
import type { Pruned, Store } from '../../store/store.js'
import { EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { plural } from '../print.js'
import { durationFlag, queuesFlag } from '../values.js'

export const prune = databaseCommand({
  name: 'prune',
  summary: 'Delete finished results that are old. Workers do this by themselves as well.',
  positionals: [],
  flags: {
    'min-age': { type: 'string', value: 'DURATION', help: 'Delete SUCCESSFUL and CANCELLED results that ended at least this long ago. Default: 14d.' },
    'failed-min-age': { type: 'string', value: 'DURATION', help: 'The same for FAILED ones. Default: 30d.' },
    'queue-name': { type: 'string', value: 'A,B', help: 'Only these queues. Default: all.' },
    'dry-run': { type: 'boolean', help: 'Count them and delete nothing.' }
  },
  read: ({ alias, flags }) => {
    const queues = queuesFlag(flags, 'queue-name')
    return {
      backend: alias,
      minAgeMs: durationFlag(flags, 'min-age', PRUNE_MIN_AGE_MS),
      failedMinAgeMs: durationFlag(flags, 'failed-min-age', PRUNE_FAILED_MIN_AGE_MS),
      ...(queues !== undefined && { queues })
    }
  },
  async run ({ flags, print }, store, request) {
    const dryRun = flags['dry-run'] === true
    const deleted = dryRun ? await store.countPrunable(request) : await pruneAll(store, request)
    print({ deleted: dryRun ? 0 : deleted, ...(dryRun && { wouldDelete: deleted }), dryRun }, () =>
      `${dryRun ? 'Would delete' : 'Deleted'} ${plural(deleted, 'task result')}.\n`)
    return EXIT_OK
  }
})

/** In batches, so that no lock is held for long; what is done stays done when it is interrupted. */
async function pruneAll (store: Store, request: Parameters<Store['countPrunable']>[0]): Promise<number> {
  let total = 0
  for (let after: string | null = null, more = true; more;) {
    const pruned: Pruned = await store.prune({ ...request, limit: PRUNE_ROWS_MAX, after })
    total += pruned.deleted
    after = pruned.after
    more = after !== null
  }
  return total
}
