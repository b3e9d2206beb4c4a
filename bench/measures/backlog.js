import { Stage, until } from './stage.js'

/** The first slice that is drained of a huge backlog, beside the same of a small one. */
export const backlog = {
  name: 'backlog',
  title: ({ backlog, slice }) => `Drain ${slice.toLocaleString('en')} of a backlog of ${backlog.toLocaleString('en')}, and of ${slice.toLocaleString('en')}`,
  figures: {
    small: { title: 'small backlog, tasks a second', better: 'more' },
    large: { title: 'large backlog, tasks a second', better: 'more' },
    share: { title: 'large / small', better: 'more' }
  },
  takes: ({ heavy }) => heavy === true,
  async run (stage, contestant, sizes, places) {
    const large = await drained(stage, contestant, sizes.backlog, sizes)
    const other = await Stage.open(places, contestant)
    try {
      const small = await drained(other, contestant, sizes.slice, sizes)
      return { small, large, share: large / small }
    } finally {
      await other.close()
    }
  }
}

async function drained (stage, { bulk }, count, { slice, heavyLimitMs }) {
  const producer = await stage.producer()
  await producer.call('bulk', count, bulk)
  await stage.settle()
  const worker = await stage.worker({ every: slice })
  await worker.call('start')
  const { marks, firstAt } = await until(worker, slice, heavyLimitMs)
  if (marks.length === 0) throw new Error(`${slice} tasks were not done within ${heavyLimitMs} ms`)
  return slice / (marks[0] - firstAt) * 1_000
}
