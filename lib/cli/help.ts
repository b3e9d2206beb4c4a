import type { Command, Flag } from './command.js'

const WIDTH = 100

/** What `fastify-tasks --help` prints. */
export function generalHelp (commands: readonly Command[]): string {
  const names = commands.map(({ name, positionals }) => [name, ...positionals].join(' '))
  const width = Math.max(...names.map((name) => name.length))
  const rows = commands.map(({ summary }, index) => `  ${(names[index] ?? '').padEnd(width)}  ${summary}`)
  return `Usage: fastify-tasks COMMAND [flags]

${rows.join('\n')}

  --help, --version

Each command has --help. Exit codes: 0 done, 1 failed, 2 the command line is wrong.
`
}

/** What `fastify-tasks COMMAND --help` prints. */
export function commandHelp (command: Command): string {
  const flags = Object.entries({ ...command.flags, help: { type: 'boolean', help: 'Show this.' } as Flag })
  const names = flags.map(([name, flag]) => flagName(name, flag))
  const width = Math.max(...names.map((name) => name.length))
  const rows = flags.map(([, flag], index) => `  ${(names[index] ?? '').padEnd(width)}  ${wrap(flag.help, width + 4)}`)
  const notes = command.notes === undefined ? '' : `\n${wrap(command.notes, 0)}\n`
  return `${usageLine(command)}\n\n${command.summary}\n\n${rows.join('\n')}\n${notes}`
}

export function usageLine ({ name, positionals }: Command): string {
  return `Usage: fastify-tasks ${[name, ...positionals, '[flags]'].join(' ')}`
}

function flagName (name: string, { type, value }: Flag): string {
  return type === 'boolean' ? `--${name}` : `--${name} ${value ?? 'VALUE'}`
}

/** Break a text at words, the further lines indented, so that a row stays within 100 columns. */
function wrap (text: string, indent: number): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines[lines.length - 1]
    if (last !== undefined && last.length + 1 + word.length + indent <= WIDTH) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines.join(`\n${' '.repeat(indent)}`)
}
