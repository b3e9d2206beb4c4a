import { openStore } from '../store/index.js'
import type { KnexStore } from '../store/index.js'
import type { Command, CommandRequest, Flag } from './command.js'
import { databaseOf, DATABASE_FLAGS, refuseMissingFile } from './database.js'
import { json } from './print.js'

export interface DatabaseRequest extends CommandRequest {
  /** The alias whose rows are meant. */
  readonly alias: string
  /** A store on the same tables with connections of its own. */
  connect (): KnexStore
  /** Print data: as JSON where --json was given, else as the text that `human` makes. */
  print (data: unknown, human: () => string): void
}

export interface DatabaseCommand<Input> extends Omit<Command, 'run' | 'flags'> {
  readonly flags?: Readonly<Record<string, Flag>>
  /** True where it makes the file and the tables itself; the others are refused where they are missing. */
  readonly creates?: boolean
  /** True where it needs the database's wake-up connection. */
  readonly listens?: boolean
  /** False where it opens the store itself, because it has something to say of a failure. */
  readonly opens?: boolean
  /** What the command line says, checked before anything is asked of the database. */
  read (request: DatabaseRequest): Input
  run (request: DatabaseRequest, store: KnexStore, input: Input): Promise<number>
}

const JSON_FLAG: Flag = { type: 'boolean', help: 'Print JSON.' }

/** A command that works on the task database alone, without an app. */
export function databaseCommand<Input> (command: DatabaseCommand<Input>): Command {
  const { creates = false, listens = false, opens = true, read, run, flags, ...rest } = command
  return {
    ...rest,
    flags: { ...flags, ...DATABASE_FLAGS, json: JSON_FLAG },
    async run (plain) {
      const database = databaseOf(plain.flags, plain.terminal.env)
      const { alias, url, schema, tablePrefix } = database
      const connect = (): KnexStore => openStore({ url, schema, tablePrefix, migrate: false, listen: listens })
      const request = { ...plain, alias, connect, print: printer(plain) }
      const input = read(request)
      if (!creates) refuseMissingFile(database)
      const store = connect()
      try {
        if (opens) await store.open()
        return await run(request, store, input)
      } finally {
        await store.close()
      }
    }
  }
}

function printer ({ flags, terminal }: CommandRequest): DatabaseRequest['print'] {
  return (data, human) => { terminal.stdout(flags.json === true ? json(data) : human()) }
}
