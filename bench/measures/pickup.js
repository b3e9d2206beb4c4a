import { pause } from '../processes/clock.js'
import { percentile } from '../report/statistics.js'
import { until } from './stage.js'

const WARM = 10 // enqueues before it counts
const SETTLE_MS = 3_000 // until nobody is still loading anything

/** From the call of an enqueue to the start of its task in an idle worker of another process. */
export const pickup = {
  name: 'pickup',
  title: () => 'Pick-up by an idle worker',
  figures: {
    p50: { title: 'p50, ms', better: 'less' },
    p99: { title: 'p99, ms', better: 'less' },
    idle: { title: 'CPU of the idle worker, % of a core', better: 'less' }
  },
  takes: ({ name }) => name !== 'bare', // it has no way to hear of an enqueue but polling
  async run (stage, contestant, { pickups, pauseMs, idleMs, limitMs }) {
    const producer = await stage.producer()
    const worker = await stage.worker()
    await worker.call('start')
    const sent = WARM + pickups
    await producer.call('paced', WARM, pauseMs, limitMs)
    await pause(Math.min(SETTLE_MS, idleMs))
    const idle = await worker.call('idle', idleMs)
    const more = await producer.call('paced', pickups, pauseMs, limitMs)
    const { latencies } = await until(worker, Math.min(sent, WARM + more), limitMs)
    const measured = latencies.slice(WARM)
    if (measured.length === 0) return { p50: null, p99: null, idle: idle * 100 }
    return { p50: percentile(measured, 50), p99: percentile(measured, 99), idle: idle * 100 }
  }
}
