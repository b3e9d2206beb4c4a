import { until } from './stage.js'

const MIB = 2 ** 20

/** Resident memory of the worker process while it drains a great many: in the first tenth and in the last. */
export const memory = {
  name: 'memory',
  title: ({ memory }) => `Memory of the worker while it drains ${memory.toLocaleString('en')} tasks`,
  figures: {
    first: { title: 'most in the first tenth, MiB', better: 'less' },
    last: { title: 'most in the last tenth, MiB', better: 'less' },
    most: { title: 'most at all, MiB', better: 'less' },
    rate: { title: 'tasks a second', better: 'more' }
  },
  takes: ({ heavy }) => heavy === true,
  async run (stage, { bulk }, { memory: total, heavyLimitMs }) {
    const producer = await stage.producer()
    await producer.call('bulk', total, bulk)
    await stage.settle()
    const worker = await stage.worker({ sampled: true })
    await worker.call('start')
    const { samples, count, firstAt, lastAt } = await until(worker, total, heavyLimitMs)
    if (count < total) throw new Error(`only ${count} of ${total} tasks were done within ${heavyLimitMs} ms`)
    const most = (chosen) => chosen.length === 0 ? null : Math.max(...chosen.map(([, bytes]) => bytes)) / MIB
    return {
      first: most(samples.filter(([done]) => done > 0 && done <= total / 10)),
      last: most(samples.filter(([done]) => done >= total * 0.9)),
      most: most(samples),
      rate: count / (lastAt - firstAt) * 1_000
    }
  }
}
