import { KEY_LENGTH_MAX, LIST_LIMIT, LIST_LIMIT_MAX, QUEUE_NAME_PATTERN, TASK_NAME_PATTERN } from '../../core/limits.js'
import type { ListFilter, Row } from '../../store/store.js'
import { EXIT_OK, type FlagValues } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { moment, table } from '../print.js'
import { recordOf } from '../record.js'
import { countFlag, idFlag, momentFlag, statusFlag, textFlag } from '../values.js'

const NAME_RULE = 'must be 1 to 128 characters of letters, digits, _ . : -'

export const list = databaseCommand({
  name: 'list',
  summary: 'Show results, the newest first.',
  positionals: [],
  flags: {
    status: { type: 'string', value: 'STATUS', help: 'READY, RUNNING, SUCCESSFUL, FAILED or CANCELLED.' },
    'queue-name': { type: 'string', value: 'QUEUE', help: 'Only this queue.' },
    task: { type: 'string', value: 'NAME', help: 'Only results of this task.' },
    tag: { type: 'string', value: 'TAG', help: 'Only results with this tag.' },
    'enqueued-after': { type: 'string', value: 'WHEN', help: "Enqueued then or later: '2026-11-20T08:00:00Z', '2026-11-20', or how long ago, such as 2h." },
    'enqueued-before': { type: 'string', value: 'WHEN', help: 'Enqueued earlier than that.' },
    'finished-after': { type: 'string', value: 'WHEN', help: 'Ended then or later.' },
    'finished-before': { type: 'string', value: 'WHEN', help: 'Ended earlier than that.' },
    limit: { type: 'string', value: 'N', help: `How many at most, 1 to ${LIST_LIMIT_MAX}. Default: ${LIST_LIMIT}.` },
    after: { type: 'string', value: 'ID', help: 'Go on behind this result: `next` of the page before.' }
  },
  read: ({ alias, flags }) => filterOf(alias, flags),
  async run ({ print }, store, filter) {
    const { rows, next } = await store.list(filter)
    print({ results: rows.map(recordOf), next }, () => `${rows.length > 0 ? resultTable(rows) : next === null ? 'No results.\n' : 'None among the results that were looked at.\n'}${next === null ? '' : `More: --after ${next}\n`}`)
    return EXIT_OK
  }
})

function filterOf (alias: string, flags: FlagValues): ListFilter {
  const filter = {
    status: statusFlag(flags, 'status'),
    queue: textFlag(flags, 'queue-name', QUEUE_NAME_PATTERN, NAME_RULE),
    task: textFlag(flags, 'task', TASK_NAME_PATTERN, NAME_RULE),
    tag: textFlag(flags, 'tag', new RegExp(`^[^\\0]{1,${KEY_LENGTH_MAX}}$`, 'u'), `must be 1 to ${KEY_LENGTH_MAX} characters`),
    enqueuedAfter: momentFlag(flags, 'enqueued-after'),
    enqueuedBefore: momentFlag(flags, 'enqueued-before'),
    finishedAfter: momentFlag(flags, 'finished-after'),
    finishedBefore: momentFlag(flags, 'finished-before'),
    after: idFlag(flags, 'after')
  }
  const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
  return { backend: alias, limit: countFlag(flags, 'limit', LIST_LIMIT, LIST_LIMIT_MAX), ...given }
}

function resultTable (rows: readonly Row[]): string {
  return table(
    ['ID', 'TASK', 'STATUS', 'QUEUE', 'PRIORITY', 'ATTEMPTS', 'ENQUEUED', 'RUN AFTER', 'FINISHED'],
    rows.map((row) => [row.id, row.task, row.status, row.queue, row.priority, row.attempts, moment(row.enqueuedAt), moment(row.runAfter), moment(row.finishedAt)])
  )
}
