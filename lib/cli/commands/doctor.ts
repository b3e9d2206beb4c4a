import { EXIT_FAILED, EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { checkDatabase, type Check } from '../doctor-checks.js'
import { table } from '../print.js'

export const doctor = databaseCommand({
  name: 'doctor',
  summary: 'Check driver, versions, tables, durable settings, wake-up, waiting work and workers.',
  positionals: [],
  listens: true,
  opens: false,
  notes: 'Exit code 1 when a check says PROBLEM; a WARNING leaves it at 0. Changes nothing.',
  read: () => undefined,
  async run ({ alias, connect, print }, store) {
    const checks = await checkDatabase(store, connect, alias)
    const wrong = checks.some(({ state }) => state === 'problem')
    print({ ok: !wrong, checks }, () => text(checks))
    return wrong ? EXIT_FAILED : EXIT_OK
  }
})

function text (checks: readonly Check[]): string {
  return table(['CHECK', 'STATE', 'FOUND'], checks.map(({ name, state, found }) => [name, state === 'ok' ? 'ok' : state.toUpperCase(), found]))
}
