import { parseArgs } from 'node:util'
import { COMMANDS } from './commands.js'
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE, UsageError, type Command, type CommandRequest, type FlagValues, type Terminal } from './command.js'
import { commandHelp, generalHelp, usageLine } from './help.js'
import { describeError, isUsageFault } from './failure.js'
import { printable } from './print.js'
import { packageVersion } from './version.js'

/** Run one command line. Answers the exit code: 0, 1 (failed) or 2 (usage); never throws. */
export async function main (argv: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined) return refuse(terminal, 'a command is missing.')
  if (name === '--help' || name === '-h' || name === 'help') return help(rest[0], terminal)
  if (name === '--version' || name === '-v') {
    terminal.stdout(`${packageVersion()}\n`)
    return EXIT_OK
  }
  const command = COMMANDS.find((known) => known.name === name)
  if (command === undefined) return refuse(terminal, `there is no command '${shorten(name)}'.`)
  return await runCommand(command, rest, terminal)
}

async function runCommand (command: Command, argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const request = parse(command, argv, terminal)
    if (request.flags.help === true) {
      terminal.stdout(commandHelp(command))
      return EXIT_OK
    }
    checkPositionals(command, request.positionals)
    return await command.run(request)
  } catch (error) {
    const usage = isUsageFault(error)
    terminal.stderr(`fastify-tasks ${command.name}: ${describeError(error)}\n`)
    if (usage) terminal.stderr(`${usageLine(command)}\nSee: fastify-tasks ${command.name} --help\n`)
    return usage ? EXIT_USAGE : EXIT_FAILED
  }
}

function parse (command: Command, argv: readonly string[], terminal: Terminal): CommandRequest {
  const options = Object.fromEntries(Object.entries({ ...command.flags, ...HELP }).map(([name, { type }]) => [name, { type, ...(name === 'help' && { short: 'h' }) }]))
  const { values, positionals, tokens } = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true, tokens: true })
  const taken = new Set(tokens.filter(({ kind }) => kind === 'positional' || kind === 'option-terminator').map(({ index }) => index))
  return { positionals, flags: values as FlagValues, flagArguments: argv.filter((_, index) => !taken.has(index)), terminal }
}

const HELP = { help: { type: 'boolean', help: '' } } as const

function checkPositionals ({ positionals: wanted }: Command, given: readonly string[]): void {
  const missing = wanted[given.length]
  if (missing !== undefined) throw new UsageError(`${missing} is missing.`)
  const extra = given[wanted.length]
  if (extra !== undefined) throw new UsageError(`there is one argument too many: '${shorten(extra)}'.`)
}

function help (name: string | undefined, terminal: Terminal): number {
  const command = COMMANDS.find((known) => known.name === name)
  if (name !== undefined && command === undefined) return refuse(terminal, `there is no command '${shorten(name)}'.`)
  terminal.stdout(command === undefined ? generalHelp(COMMANDS) : commandHelp(command))
  return EXIT_OK
}

function refuse (terminal: Terminal, reason: string): number {
  terminal.stderr(`fastify-tasks: ${reason}\n\n${generalHelp(COMMANDS)}`)
  return EXIT_USAGE
}

function shorten (text: string): string {
  return printable(text.slice(0, 60))
}
