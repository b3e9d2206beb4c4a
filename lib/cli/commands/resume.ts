import { EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { queueArgument } from '../values.js'

export const resume = databaseCommand({
  name: 'resume',
  summary: 'Claim from a paused queue again.',
  positionals: ['QUEUE'],
  async run ({ alias, positionals, print }, store) {
    const queue = queueArgument(positionals[0])
    await store.resume(alias, queue)
    print({ queue, paused: false }, () => `Queue '${queue}' is open.\n`)
    return EXIT_OK
  }
})
