import { EXIT_OK } from '../command.js'
import { databaseCommand } from '../database-command.js'
import { fields, printable } from '../print.js'
import { recordOf } from '../record.js'
import { idArgument, rowOf } from '../values.js'

export const show = databaseCommand({
  name: 'show',
  summary: 'Show one result with its arguments, return value and errors.',
  positionals: ['ID'],
  read: ({ positionals }) => idArgument(positionals[0]),
  async run ({ alias, print }, store, given) {
    const record = recordOf(await rowOf(store, given, alias))
    print(record, () => text(record))
    return EXIT_OK
  }
})

function text ({ errors, isFinished, ...record }: Record<string, unknown>): string {
  const values = Object.entries(record).map(([name, value]) => [name, shown(value)] as const)
  return fields(values) + (errors as StoredError[]).map(errorText).join('')
}

interface StoredError { attempt: number, at: string, exceptionClass: string, code: string | null, message: string, traceback: string }

function errorText (error: StoredError): string {
  const code = error.code === null ? '' : ` (${error.code})`
  const head = `Attempt ${error.attempt}, ${error.at}: ${error.exceptionClass}${code}: ${error.message}`
  return `\n${[head, ...error.traceback.split('\n').map((line) => `  ${line}`)].map((line) => `${printable(line)}\n`).join('')}`
}

function shown (value: unknown): unknown {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value
}
