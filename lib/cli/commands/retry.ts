import { CommandFailed, EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { idArgument, rowOf } from '../values.js'

export const retry = databaseCommand({
  name: 'retry',
  summary: 'Put a FAILED or CANCELLED result back, to run now.',
  positionals: ['ID'],
  read: ({ positionals }) => idArgument(positionals[0]),
  async run ({ alias, print }, store, given) {
    const { id } = await rowOf(store, given, alias)
    const changed = await store.requeue({ backend: alias, id })
    if (changed.length === 0) {
      const { status } = await rowOf(store, id, alias)
      throw new CommandFailed(`result ${id} is ${status}; only FAILED and CANCELLED ones can be put back. Nothing was changed.`)
    }
    print({ id, status: 'READY' }, () => `Result ${id} is READY again.\n`)
    return EXIT_OK
  }
})
