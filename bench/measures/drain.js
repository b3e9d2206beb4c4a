import { stored, until } from './stage.js'

/** A worker meets a backlog: tasks a second, from the first that starts until the last ending is stored. */
export const drain = {
  name: 'drain',
  title: ({ tasks }) => `Drain ${tasks.toLocaleString('en')} tasks, one worker process`,
  figures: {
    rate: { title: 'tasks a second', better: 'more' },
    startMs: { title: 'worker start to first task, ms', better: 'less' },
    workerCpu: { title: 'CPU of the worker, µs a task', better: 'less' },
    serverCpu: { title: 'CPU of the server, µs a task', better: 'less' }
  },
  takes: () => true,
  async run (stage, { bulk }, { tasks, limitMs }) {
    const producer = await stage.producer()
    await producer.call('bulk', tasks, bulk)
    await stage.settle()
    const worker = await stage.worker()
    const serverBefore = await stage.cpu()
    const began = await worker.call('start')
    const { count, firstAt, lastAt, cpuMs } = await until(worker, tasks, limitMs)
    if (count === 0) return { rate: 0, startMs: null, workerCpu: null, serverCpu: null }
    const end = count >= tasks ? await stored(producer, limitMs) : lastAt
    const serverAfter = await stage.cpu()
    return {
      rate: count / (end - firstAt) * 1_000,
      startMs: firstAt - began,
      workerCpu: cpuMs / count * 1_000,
      serverCpu: serverBefore === null ? null : (serverAfter - serverBefore) / count * 1_000
    }
  }
}
