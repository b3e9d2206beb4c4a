const CALLERS = 16

/** Sixteen callers in one process, each of which enqueues one task after the other. */
export const callers = {
  name: 'callers',
  title: () => `Enqueue, ${CALLERS} callers at once`,
  figures: { rate: { title: 'tasks a second', better: 'more' } },
  takes: () => true,
  async run (stage, contestant, { durationMs }) {
    const producer = await stage.producer()
    await producer.call('callers', CALLERS, durationMs / 5)
    await stage.settle()
    const { stored, ms } = await producer.call('callers', CALLERS, durationMs)
    return { rate: stored / ms * 1_000 }
  }
}
