import { MIGRATION_REQUIRED } from '../../core/errors.js'
import type { Store } from '../../store/store.js'
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
    const migrations = await bringUpToDate(store)
    print({ migrations }, () => migrations.length === 0
      ? 'The task tables are up to date.\n'
      : `Ran ${plural(migrations.length, 'migration')}: ${migrations.join(', ')}\n`)
    return EXIT_OK
  }
})

/** Answers what this call has run: of several at once, one does it and the others wait for that. */
async function bringUpToDate (store: Store): Promise<string[]> {
  try {
    await store.open() // checks the version of the database first
    return []
  } catch (error) {
    if (error instanceof MIGRATION_REQUIRED) return await store.migrate()
    throw error
  }
}
