import { Stage, until } from './stage.js'

/** The first slice that is drained of larger and larger backlogs, beside the same of one that is no larger than it. */
export const backlog = {
  name: 'backlog',
  title: ({ backlog, slice }) => `Drain ${slice.toLocaleString('en')} of a backlog of ${backlog.toLocaleString('en')}, and of ${slice.toLocaleString('en')}`,
  figures: {
    small: { title: 'small backlog, tasks a second', better: 'more' },
    large: { title: 'large backlog, tasks a second', better: 'more' },
    share: { title: 'large / small', better: 'more' }
  },
  plot: {
    title: 'Drain rate by how much waits',
    x: 'tasks that wait',
    y: 'tasks a second',
    log: true
  },
  takes: ({ heavy }) => heavy === true,
  async run (stage, contestant, sizes, places) {
    const points = []
    for (const count of backlogsOf(sizes)) {
      const other = await Stage.open(places, contestant)
      try {
        points.push([count, await drained(other, contestant, count, sizes)])
      } finally {
        await other.close()
      }
    }
    const [small, large] = [points[0][1], points.at(-1)[1]]
    return { small, large, share: large / small, points }
  }
}

/** From the slice to the whole, each about seven times the one before. */
function backlogsOf ({ slice, backlog }) {
  const steps = Math.max(1, Math.round(Math.log(backlog / slice) / Math.log(7)))
  return Array.from({ length: steps + 1 }, (_, step) => Math.round(slice * (backlog / slice) ** (step / steps)))
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
