import { EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { plural } from '../print.js'

export const migrate = databaseCommand({
  name: 'migrate',
  summary: 'Create or upgrade the task tables.',
  positionals: [],
  creates: true,
  opens: false,
  read: () => undefined,
  async run ({ print }, store) {
    const migrations = await store.pending()
    await store.open() // runs them, once it has checked the versions
    print({ migrations }, () => migrations.length === 0
      ? 'The task tables are up to date.\n'
      : `Ran ${plural(migrations.length, 'migration')}: ${migrations.join(', ')}\n`)
    return EXIT_OK
  }
})
