import { EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { queueArgument } from '../values.js'

export const resume = databaseCommand({
  name: 'resume',
  summary: 'Claim from a paused queue again.',
  positionals: ['QUEUE'],
  read: ({ positionals }) => queueArgument(positionals[0]),
  async run ({ alias, print }, store, queue) {
    await store.resume(alias, queue)
    print({ queue, paused: false }, () => `Queue '${queue}' is open.\n`)
    return EXIT_OK
  }
})
