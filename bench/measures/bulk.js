/** Tasks a second that one process enqueues in batches, with no worker. */
export const bulk = {
  name: 'bulk',
  title: ({ tasks }) => `Enqueue ${tasks.toLocaleString('en')} tasks in bulk`,
  figures: { rate: { title: 'tasks a second', better: 'more' }, serverCpu: { title: 'CPU of the server, µs a task', better: 'less' } },
  takes: ({ name }) => name !== 'bare-notify',
  async run (stage, { bulk: own }, { tasks, batch = own }) {
    const producer = await stage.producer()
    await producer.call('bulk', own, own) // connections and statements are there
    await stage.settle()
    const before = await stage.cpu()
    const ms = await producer.call('bulk', tasks, batch)
    const after = await stage.cpu()
    return { rate: tasks / ms * 1_000, serverCpu: before === null ? null : (after - before) / tasks * 1_000 }
  }
}
