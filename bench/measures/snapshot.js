import pg from 'pg'
import { until } from './stage.js'

/**
 * Tasks flow through producer and worker while a transaction that was opened before keeps its snapshot, so that no dead
 * row can be vacuumed: the rate of the last slice beside the first one.
 */
export const snapshot = {
  name: 'snapshot',
  title: ({ flowing, slice }) => `${flowing.toLocaleString('en')} tasks flow while an old REPEATABLE READ snapshot is open: slices of ${slice.toLocaleString('en')}`,
  figures: {
    first: { title: 'first slice, tasks a second', better: 'more' },
    last: { title: 'last slice, tasks a second', better: 'more' },
    share: { title: 'last / first', better: 'more' }
  },
  series: 'tasks a second of each slice, in order',
  plot: {
    title: 'Drain rate while an old snapshot is open',
    x: 'tasks done since it was opened',
    y: 'tasks a second'
  },
  takes: ({ name, database, heavy }) => database === 'postgres' && heavy && name !== 'bare',
  async run (stage, { bulk }, { flowing, slice, heavyLimitMs }) {
    const producer = await stage.producer()
    const worker = await stage.worker({ every: slice, tells: true })
    worker.on('done', (count) => { producer.call('done', count).catch(() => {}) })
    const holder = new pg.Client({ connectionString: stage.url })
    holder.on('error', () => {}) // the database is dropped under it where the round fails
    await holder.connect()
    try {
      await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ')
      await holder.query('SELECT 1')
      await worker.call('start')
      const flow = producer.call('flow', flowing, slice, bulk)
      flow.catch(() => {}) // the worker's limit is what ends a round that stands still
      const { marks, firstAt } = await until(worker, flowing, heavyLimitMs)
      const rates = marks.map((at, index) => slice / (at - (index === 0 ? firstAt : marks[index - 1])) * 1_000)
      const [first, last] = [rates[0] ?? null, rates.length > 1 ? rates.at(-1) : null]
      return { first, last, share: last === null ? null : last / first, series: rates, points: rates.map((rate, index) => [(index + 1) * slice, rate]) }
    } finally {
      await holder.end()
    }
  }
}
