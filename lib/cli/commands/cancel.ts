import { CommandFailed, EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { idArgument, rowOf } from '../values.js'

export const cancel = databaseCommand({
  name: 'cancel',
  summary: 'Cancel a result: a READY one ends at once, a RUNNING one has its worker told.',
  positionals: ['ID'],
  read: ({ positionals }) => idArgument(positionals[0]),
  async run ({ alias, print }, store, given) {
    const { id } = await rowOf(store, given, alias)
    const { cancelled, signalled } = await store.cancel({ backend: alias, id })
    if (cancelled.length === 0 && signalled.length === 0) {
      const { status } = await rowOf(store, id, alias)
      throw new CommandFailed(`result ${id} has ended ${status} already; nothing was changed.`)
    }
    const told = cancelled.length === 0
    print({ id, status: told ? 'RUNNING' : 'CANCELLED', signalled: told }, () => told
      ? `Result ${id} is running; its worker has been told.\n`
      : `Cancelled result ${id}.\n`)
    return EXIT_OK
  }
})
