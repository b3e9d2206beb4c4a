import { Stage, stored } from './stage.js'

/**
 * Workers beside each other on one database, with tasks that wait for 10 ms: they share a backlog that keeps each of them
 * busy for some seconds. Ideal is what they would do if each task began the moment a slot was free, whichever worker's.
 */
export const scale = {
  name: 'scale',
  title: ({ scaleTasks, scaleMs }) => `One, two, four and eight workers share ${scaleTasks.toLocaleString('en')} tasks of ${scaleMs} ms a worker, ten at a time each`,
  figures: Object.fromEntries([1, 2, 4, 8].flatMap((workers) => [
    [`rate${workers}`, { title: `${workers === 1 ? 'one worker' : `${workers} workers`}, tasks a second`, better: 'more' }],
    [`ideal${workers}`, { title: `share of the ideal with ${workers}`, better: 'more' }]
  ])),
  takes: ({ scales }) => scales !== undefined,
  async run (stage, contestant, sizes, places) {
    const figures = {}
    for (const workers of [1, 2, 4, 8]) {
      const rate = await shared(await Stage.open(places, contestant), contestant, workers, sizes)
      figures[`rate${workers}`] = rate
      figures[`ideal${workers}`] = rate / (workers * SLOTS * 1_000 / sizes.scaleMs)
    }
    return figures
  }
}

const SLOTS = 10

/** Tasks a second, from the moment at which all workers are up until the last ending is stored. */
async function shared (stage, { bulk, scales }, count, { scaleTasks, scaleMs, heavyLimitMs }) {
  try {
    const producer = await stage.producer()
    const workers = []
    for (let index = 0; index < count; index++) workers.push(await stage.worker({ settings: scales }))
    // All are idle and listen before there is anything to do.
    await producer.call('bulk', 1, 1)
    for (const worker of workers) await worker.call('start')
    await stored(producer, heavyLimitMs)
    const tasks = scaleTasks * count
    const began = process.hrtime.bigint()
    await producer.call('bulk', tasks, bulk, scaleMs)
    await stored(producer, heavyLimitMs)
    return tasks / (Number(process.hrtime.bigint() - began) / 1e9)
  } finally {
    await stage.close()
  }
}
