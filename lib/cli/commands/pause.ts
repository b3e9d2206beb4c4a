import { EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { queueArgument } from '../values.js'

export const pause = databaseCommand({
  name: 'pause',
  summary: 'Stop claiming from a queue. What runs goes on, and enqueueing stays possible.',
  positionals: ['QUEUE'],
  read: ({ positionals }) => queueArgument(positionals[0]),
  async run ({ alias, print }, store, queue) {
    await store.pause(alias, queue)
    print({ queue, paused: true }, () => `Queue '${queue}' is paused.\n`)
    return EXIT_OK
  }
})
