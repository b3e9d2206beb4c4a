import type { Stats } from '../../store/store.js'
import { EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { age, moment, table } from '../print.js'

export const stats = databaseCommand({
  name: 'stats',
  summary: 'Count results by queue, and show the workers and the names that no worker knows.',
  positionals: [],
  read: () => undefined,
  async run ({ alias, print }, store) {
    const found = await store.stats(alias)
    print(dataOf(found), () => text(found))
    return EXIT_OK
  }
})

function dataOf (found: Stats): unknown {
  return { ...found, workers: found.workers.map(({ id, lastSeen, running }) => ({ id, lastSeen: moment(lastSeen), running })) }
}

function text ({ queues, workers, unknownTasks, approximate }: Stats): string {
  const about = approximate ? 'Above 10,000 rows the counts are estimates.\n' : ''
  const unknown = unknownTasks.length === 0
    ? ''
    : `\n${table(['UNKNOWN TASK', 'READY'], unknownTasks.map(({ name, ready }) => [name, ready]))}`
  return `${queueTable(queues)}${about}\n${workerTable(workers)}${unknown}`
}

function queueTable (queues: Stats['queues']): string {
  const names = Object.keys(queues).sort()
  if (names.length === 0) return 'No queue has results that wait, run or have failed.\n'
  return table(['QUEUE', 'READY', 'DEFERRED', 'RUNNING', 'FAILED', 'OLDEST READY', 'STATE'], names.map((name) => {
    const { ready, deferred, running, failed, oldestReadyMs, paused } = queues[name] as Stats['queues'][string]
    return [name, ready, deferred, running, failed, age(oldestReadyMs), paused ? 'paused' : 'open']
  }))
}

function workerTable (workers: Stats['workers']): string {
  if (workers.length === 0) return 'No workers.\n'
  return table(['WORKER', 'RUNNING', 'LAST SEEN'], workers.map(({ id, running, lastSeen }) => [id, running, moment(lastSeen)]))
}
