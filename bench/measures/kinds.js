import { Stage, stored, until } from './stage.js'

const CALLERS = 16
const KINDS = {
  limited: 'under one of 100 concurrency keys of 10',
  unique: 'under a unique key each',
  tagged: 'with a tag',
  transactional: 'ended in a transaction of their own'
}

/** What tasks with more than arguments cost: stored by callers at once, then drained by one worker. */
export const kinds = {
  name: 'kinds',
  title: ({ kindTasks }) => `${kindTasks.toLocaleString('en')} tasks of a kind, stored by ${CALLERS} callers at once, drained by one worker process`,
  figures: Object.fromEntries(Object.entries(KINDS).flatMap(([kind, words]) => [
    [`${kind}Stored`, { title: `${words}: stored, tasks a second`, better: 'more' }],
    [`${kind}Drained`, { title: `${words}: drained, tasks a second`, better: 'more' }]
  ])),
  takes: ({ family }) => family === 'ours',
  async run (stage, contestant, sizes, places) {
    const figures = {}
    for (const kind of Object.keys(KINDS)) {
      const { storedRate, drainedRate } = await ofKind(await Stage.open(places, contestant), kind, sizes)
      figures[`${kind}Stored`] = storedRate
      figures[`${kind}Drained`] = drainedRate
    }
    return figures
  }
}

async function ofKind (stage, kind, { kindTasks, limitMs }) {
  try {
    const producer = await stage.producer()
    const ms = await producer.call('kind', kind, kindTasks, CALLERS)
    await stage.settle()
    const worker = await stage.worker()
    await worker.call('start')
    const { count, firstAt, lastAt } = await until(worker, kindTasks, limitMs)
    const end = count >= kindTasks ? await stored(producer, limitMs) : lastAt
    return { storedRate: kindTasks / ms * 1_000, drainedRate: count === 0 ? 0 : count / (end - firstAt) * 1_000 }
  } finally {
    await stage.close()
  }
}
