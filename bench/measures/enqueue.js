import { percentile } from '../report/statistics.js'

const WARM = 50

/** One enqueue after the other: how long until it is stored. */
export const enqueue = {
  name: 'enqueue',
  title: () => 'Enqueue, one at a time',
  figures: { p50: { title: 'p50, ms', better: 'less' }, p99: { title: 'p99, ms', better: 'less' } },
  takes: () => true,
  async run (stage, contestant, { enqueues, durationMs }) {
    const producer = await stage.producer()
    await producer.call('one', WARM, durationMs)
    await stage.settle()
    const durations = await producer.call('one', enqueues, durationMs)
    return { p50: percentile(durations, 50), p99: percentile(durations, 99) }
  }
}
