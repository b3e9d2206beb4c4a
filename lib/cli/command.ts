/** What a command may touch of the process; tests pass their own. */
export interface Terminal {
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly env: Readonly<Record<string, string | undefined>>
}

/** One flag, as it is parsed and as `--help` shows it. */
export interface Flag {
  readonly type: 'string' | 'boolean'
  /** What stands for the value in `--help`: `--lease DURATION`. */
  readonly value?: string
  readonly help: string
}

export type FlagValues = Readonly<Record<string, string | boolean | undefined>>

export const EXIT_OK = 0
export const EXIT_FAILED = 1
export const EXIT_USAGE = 2

/** One command: a row of the table in commands.ts. */
export interface Command {
  readonly name: string
  readonly summary: string
  /** Names of the arguments that must be given, as `--help` shows them. */
  readonly positionals: readonly string[]
  readonly flags: Readonly<Record<string, Flag>>
  /** More for `--help`, behind the flags. */
  readonly notes?: string
  /** Answers the exit code. What it throws ends it with 1, a {@link UsageError} with 2. */
  run (request: CommandRequest): Promise<number>
}

export interface CommandRequest {
  readonly positionals: readonly string[]
  readonly flags: FlagValues
  /** The flags as they were given. */
  readonly flagArguments: readonly string[]
  readonly terminal: Terminal
}

/** The command line itself is wrong: shown with the command's usage, exit code 2. */
export class UsageError extends Error {}

/** What was asked could not be done and no error of the package says so: one sentence, exit code 1. */
export class CommandFailed extends Error {}
