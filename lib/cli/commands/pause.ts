import { EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { queueArgument } from '../values.js'

export const pause = databaseCommand({
  name: 'pause',
  summary: 'Stop claiming from a queue. What runs goes on, and enqueueing stays possible.',
  positionals: ['QUEUE'],
  async run ({ alias, positionals, print }, store) {
    const queue = queueArgument(positionals[0])
    await store.pause(alias, queue)
    print({ queue, paused: true }, () => `Queue '${queue}' is paused.\n`)
    return EXIT_OK
  }
})
